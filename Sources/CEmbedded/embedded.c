#include "embedded.h"

// C can take in a file as it is; as a Swift literal, the same bytes cost the compiler half a minute. Compilers without
// the standard that brings it (C23) have it as an extension.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char openapi[] = {
#embed "openapi.json"
};

static const unsigned char page[] = {
#embed "page.html"
};

struct embedded_file embedded_openapi(void) {
    return (struct embedded_file){openapi, sizeof openapi};
}

struct embedded_file embedded_page(void) {
    return (struct embedded_file){page, sizeof page};
}
