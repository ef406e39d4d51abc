"""SQLite's write-ahead log: https://sqlite.org/fileformat2.html#walformat."""

import struct

_HEADER, _FRAME = 32, 24


def commits(log):
    """The numbers of the pages of each commit that is in the log, in its order."""
    data = log.read_bytes()
    size = page_size(data)
    salts, place, pages, found = data[16:24], _HEADER, [], []
    while place + _FRAME + size <= len(data) and data[place + 8:place + 16] == salts:
        page, pages_after = struct.unpack(">II", data[place:place + 8])
        pages.append(page)
        # Of a frame that ends a commit: how long the database is then.
        if pages_after:
            found.append(pages)
            pages = []
        place += _FRAME + size
    return found


def page_size(log):
    """Bytes of a page, as the log's header says."""
    return struct.unpack(">I", log[8:12])[0]


def commit_bytes(log):
    """Bytes of each commit, in their order."""
    frame = _FRAME + page_size(log.read_bytes())
    return [len(pages) * frame for pages in commits(log)]
