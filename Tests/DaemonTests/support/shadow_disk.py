"""A disk that keeps only what was synced, told from the records of shadow_disk.c."""

import copy, dataclasses, os, pathlib, re, struct, subprocess

SOURCE = pathlib.Path(__file__).with_name("shadow_disk.c")
VOID, MADE, KNOWN, WRITE, CUT, RENAME, UNLINK, LINK, FOLDER, SYNC, SYNCED, ANSWER = range(12)
HEAD = struct.Struct("=IIQQQ")
SECTOR = 512


def build(folder):
    """The library to preload."""
    library = folder / "shadow_disk.so"
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *options, "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    return library


@dataclasses.dataclass
class Record:
    """One line of the log."""

    end: int        # where in the log it ends
    kind: int
    file: int
    position: int
    data: bytes

    @property
    def paths(self):
        text = self.data.decode()
        return (text[:self.position], text[self.position:]) if self.kind in (RENAME, LINK) else (text,)


def records(log, start=0):
    """All whole records of the log from there on."""
    with open(log, "rb") as file:
        file.seek(start)
        while len(head := file.read(HEAD.size)) == HEAD.size:
            kind, number, position, length, used = HEAD.unpack(head)
            data = file.read(length)
            if len(data) < length:
                return
            start += HEAD.size + length
            yield Record(start, kind, number, position, data[:used] if kind == WRITE else data)


class File:
    """What processes see of a file, what the disk has of it, and what was done to it since it was synced."""

    def __init__(self, content=b""):
        self.seen, self.kept, self.unsynced = bytearray(content), bytearray(content), []


def change(content, kind, position, data):
    if kind == CUT:
        del content[position:]
        content.extend(bytes(position - len(content)))
    else:
        content.extend(bytes(max(0, position - len(content))))
        content[position:position + len(data)] = data


def tear(content, kind, position, data, chance):
    """Does some of a change: none of it, all, or some sectors."""
    draw = chance.random()
    if draw < 0.3:
        return
    if kind == CUT or draw < 0.6:
        return change(content, kind, position, data)
    first = position // SECTOR * SECTOR
    for start in range(first, position + len(data), SECTOR):
        if chance.random() < 0.5:
            begin, end = max(start, position), min(start + SECTOR, position + len(data))
            change(content, kind, begin, data[begin - position:end - position])


class Shadow:
    """One folder. A name counts once its folder was synced, a byte once its file was.

    After a sync that failed the kernel counts the bytes as written: processes go on seeing them, and no later sync
    brings them to the disk.
    """

    def __init__(self, folder, content=None):
        self.folder = str(folder)
        self.names = {path: node if node is None else File(node) for path, node in (content or {}).items()}
        self.kept_names, self.unsynced_names = dict(self.names), []
        self.begin_process()
        self.count, self.last, self.answers = 0, None, {}

    def begin_process(self):
        """Numbers of files and syncs begin again."""
        self.files, self.syncs = {}, {}

    def apply(self, record, chance=None):
        """`chance`: of what a failed sync has brought to the disk all the same; without, nothing."""
        self.count += 1
        kind = record.kind
        if kind not in (VOID, SYNC, SYNCED, ANSWER):
            self.last = record
        if kind in (MADE, KNOWN):
            if kind == MADE:
                self.rename({record.paths[0]: File()})
            self.files[record.file] = self.names[record.paths[0]]
        elif kind in (WRITE, CUT):
            file = self.files[record.file]
            change(file.seen, kind, record.position, record.data)
            file.unsynced.append((self.count, kind, record.position, record.data))
        elif kind == RENAME:
            old, new = record.paths
            self.rename({old: ..., new: self.names[old]})
        elif kind == LINK:
            self.rename({record.paths[1]: self.names[record.paths[0]]})
        elif kind == UNLINK:
            self.rename({record.paths[0]: ...})
        elif kind == FOLDER:
            self.rename({record.paths[0]: None})
        elif kind == SYNC:
            self.syncs[record.position] = (self.count, self.files.get(record.file) or record.data.decode())
        elif kind == SYNCED:
            self.synced(*self.syncs.pop(record.position), record.file, chance)
        elif kind == ANSWER and (found := re.search(rb'"id":"([0-9a-f-]{36})"', record.data)):
            self.answers[found[1].decode()] = record.end

    def rename(self, changes):
        """... : the name goes; None: a folder."""
        self.set_names(self.names, changes)
        self.unsynced_names.append((self.count, os.path.dirname(next(iter(changes))), changes))

    @staticmethod
    def set_names(names, changes):
        for path, node in changes.items():
            if node is ...:
                names.pop(path, None)
            else:
                names[path] = node

    def synced(self, begun, what, failed, chance):
        if isinstance(what, str):
            done = [each for each in self.unsynced_names if each[1] == what and each[0] < begun]
            for _, _, changes in done if not failed else []:
                self.set_names(self.kept_names, changes)
            self.unsynced_names = [each for each in self.unsynced_names if each not in done]
            return
        for number, *each in what.unsynced:
            if number < begun and not failed:
                change(what.kept, *each)
            elif number < begun and chance:
                tear(what.kept, *each, chance)
        what.unsynced = [each for each in what.unsynced if each[0] > begun]

    def image(self, chance=None):
        """Content by path, None for a folder: what the disk holds. `chance`: with parts of what was not synced."""
        names = dict(self.kept_names)
        if chance:
            for _, _, changes in self.unsynced_names[:chance.randrange(len(self.unsynced_names) + 1)]:
                self.set_names(names, changes)
        found = {}
        for path, node in names.items():
            if node is not None and chance:
                content, torn = bytearray(node.kept), list(node.unsynced)
                chance.shuffle(torn)
                for _, *each in sorted(torn, key=lambda each: each[1] != CUT):
                    tear(content, *each, chance)
                node = File(content)
            found[path] = None if node is None else bytes(node.kept)
        # Of a folder whose name is missing, the files are too.
        return {path: content for path, content in found.items()
                if os.path.dirname(path) == self.folder or os.path.dirname(path) in found}

    def differences(self):
        """Where what processes see is not what the records say; the last change may not have happened."""
        found, real = [], {}
        for place, folders, files in os.walk(self.folder):
            real |= {os.path.join(place, name): None for name in folders}
            real |= {os.path.join(place, name): pathlib.Path(place, name).read_bytes() for name in files
                     if not name.endswith("-shm")}
        seen = {path: node and bytes(node.seen) for path, node in self.names.items()}
        excused = set()
        if self.last and self.last.kind in (WRITE, CUT):
            file = self.files.get(self.last.file)
            excused = {path for path, node in self.names.items() if node is file}
        elif self.last:
            excused = set(self.last.paths)
        for path in real.keys() | seen.keys():
            # A file is made before its record is written.
            is_new = path not in seen and real.get(path) == b""
            if real.get(path, ...) != seen.get(path, ...) and path not in excused and not is_new:
                sizes = [len(each.get(path) or b"") for each in (real, seen)]
                found.append(f"{path} has {sizes[0]} bytes, by the records {sizes[1]}")
        return found

    def copy(self):
        return copy.deepcopy(self)


def lay(image, folder, target):
    """Writes an image of `folder` into `target`, whose content goes."""
    for place, folders, files in os.walk(target, topdown=False):
        for name in files:
            os.unlink(os.path.join(place, name))
        for name in folders:
            os.rmdir(os.path.join(place, name))
    for path in sorted(image):
        place = pathlib.Path(str(target) + path.removeprefix(str(folder)))
        if image[path] is None:
            place.mkdir(mode=0o700)
        else:
            place.write_bytes(image[path])
            place.chmod(0o600)
