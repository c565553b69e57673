#!/usr/bin/env bash
# SQLite 3.50.4 (apsw 3.50.4.0): on a full volume a database in WAL mode can't be read, and the error doesn't speak of space.
#
# The database was closed well, so all of it is in one file and there is nothing to recover. A SELECT still wants a `-shm` of
# 32 KiB, also for a connection that is read-only. Without room for it the error is SQLITE_IOERR_SHMSIZE ("disk I/O error"),
# and not SQLITE_FULL, which programs take for a full disk. Stumps of `-wal` and `-shm` stay behind. In the mode "delete"
# the same read works, and with `immutable=1` it works in WAL mode too.
#
# Seen:
#   delete, read-write: [(1,)]
#   wal, read-write: IOError, extended code 4874
#   wal, read-only: IOError, extended code 4874
#   wal, immutable: [(1,)]
#   left behind: wal.db-shm, wal.db-wal
#   wal, read-only, with room again: [(1,)]
#
# Needs python3 with venv, and root or user namespaces for a small tmpfs.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check apsw==3.50.4.0
mkdir volume
cat >read.py <<'PYTHON'
import os

import apsw


def create(mode):
    connection = apsw.Connection(f"volume/{mode}.db")
    connection.pragma("journal_mode", mode)
    connection.execute("create table numbers (value); insert into numbers values (1)")
    connection.close()


def read(what, name, flags):
    try:
        connection = apsw.Connection(name, flags=flags)
        print(f"{what}: {connection.execute('select * from numbers').fetchall()}")
        connection.close()
    except apsw.Error as error:
        print(f"{what}: {type(error).__name__}, extended code {error.extendedresult}")


READ_WRITE = apsw.SQLITE_OPEN_READWRITE
READ_ONLY = apsw.SQLITE_OPEN_READONLY
create("delete")
create("wal")
files = set(os.listdir("volume"))
assert files == {"delete.db", "wal.db"}, files

with open("volume/filler", "wb", buffering=0) as filler:
    size = 1 << 16
    while size:
        try:
            filler.write(bytes(size))
        except OSError:
            size //= 2

read("delete, read-write", "volume/delete.db", READ_WRITE)
read("wal, read-write", "volume/wal.db", READ_WRITE)
read("wal, read-only", "volume/wal.db", READ_ONLY)
read("wal, immutable", "file:volume/wal.db?immutable=1", READ_ONLY | apsw.SQLITE_OPEN_URI)
left = sorted(set(os.listdir("volume")) - files - {"filler"})
print("left behind:", ", ".join(left))
os.remove("volume/filler")
read("wal, read-only, with room again", "volume/wal.db", READ_ONLY)
PYTHON
unshare --user --map-root-user --mount bash -euc 'mount -t tmpfs -o size=256k none volume; python/bin/python read.py' >seen
diff seen - <<'SEEN'
delete, read-write: [(1,)]
wal, read-write: IOError, extended code 4874
wal, read-only: IOError, extended code 4874
wal, immutable: [(1,)]
left behind: wal.db-shm, wal.db-wal
wal, read-only, with room again: [(1,)]
SEEN
echo "still so"
