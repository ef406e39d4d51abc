#pragma once

#include <stddef.h>

/// A file that is part of the program: nothing has to lie beside it at run time.
struct embedded_file {
    /// Constant, and there as long as the program runs.
    const unsigned char *bytes;
    size_t count;
};

/// The description of the HTTP interface; packaging/openapi.py writes it from docs/openapi.yaml.
struct embedded_file embedded_openapi(void);
/// The page for people.
struct embedded_file embedded_page(void);
