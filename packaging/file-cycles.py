#!/usr/bin/env python3
"""Finds files of a target that use each other in a circle.

An edge is the name of a top-level type of another file, as a whole word, with comments and strings left out. Members
that extensions add are not seen, nor names that are declared twice, at the top or inside a type. Between targets the
compiler sees to it.

    packaging/file-cycles.py            what there is, and which cycles are not known
    packaging/file-cycles.py --edges    each edge as well
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = ["InferqCore", "InferqStore", "InferqQueue", "InferqRedis", "InferqHTTP", "inferq"]
# One idea in more than one file: a reader would not take them apart.
ONE_IDEA = [
    {"Job", "JobEvent"}, {"JSONError", "JSONLexer"},
    {"JobOptions", "JobOption"},  # all options of a job, and each of them
    {"ClientConnection", "ClientExchange", "BodyWriter"},  # a connection, what goes over it, and the hand that writes
]  # fmt: skip

COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"""(?:\\.|.)*?"""|"(?:\\.|[^"\\\n])*"', re.S)
DECLARATION = re.compile(
    r"^(?:(?:package|private|fileprivate|final|indirect|nonisolated)\s+)*"
    r"(?:class|struct|enum|protocol|actor|typealias)\s+(\w+)", re.M
)
NESTED = re.compile(r"^ +[^\n]*\b(?:class|struct|enum|protocol|actor|typealias)\s+([A-Z]\w*)", re.M)


def read(target):
    """The code of each file by its name."""
    paths = sorted((ROOT / "Sources" / target).rglob("*.swift"))
    return {path.stem: COMMENT_OR_STRING.sub(" ", path.read_text()) for path in paths}


def edges(code):
    owners = collections.defaultdict(set)
    for file, text in code.items():
        for name in DECLARATION.findall(text):
            owners[name].add(file)
        for name in NESTED.findall(text):
            owners[name] |= {file, "a nested one"}
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    for file, text in code.items():
        for word in set(re.findall(r"\b[A-Z]\w+", text)):
            if len(owners[word]) == 1 and (owner := next(iter(owners[word]))) != file:
                found[file][owner].add(word)
    return found


def components(graph, nodes):
    """Strongly connected ones of more than one file (Tarjan)."""
    index, low, stack, on, out = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in on:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = []
            while True:
                part.append(stack.pop())
                on.discard(part[-1])
                if part[-1] == node:
                    break
            if len(part) > 1:
                out.append(sorted(part))

    for node in nodes:
        if node not in index:
            visit(node)
    return out


def main():
    sys.setrecursionlimit(10_000)
    wrong = 0
    for target in TARGETS:
        code = read(target)
        graph = edges(code)
        if "--edges" in sys.argv:
            for file in sorted(graph):
                for other, words in sorted(graph[file].items()):
                    print(f"{target}: {file} -> {other}: {', '.join(sorted(words))}")
        cycles = 0
        for part in components(graph, sorted(code)):
            # A type in several files, and what is one idea, are no circle.
            names = {file.split("+")[0] for file in part}
            if len(names) == 1 or any(names <= idea for idea in ONE_IDEA):
                continue
            print(f"{target}: a cycle of {len(part)} files: {', '.join(part)}", file=sys.stderr)
            cycles += 1
        print(f"{target}: {len(code)} files, {sum(len(each) for each in graph.values())} edges, {cycles} cycles")
        wrong += cycles
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
