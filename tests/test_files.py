"""One writer for whole files: what stands there stays what it is, and nobody sees half a file."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from amad_core.files import write_atomically


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("content", ["é\n", "é\n".encode()])
def test_text_and_bytes_are_written_as_they_are(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "made" / "too" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == b"\xc3\xa9\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["replace", "fsync", "chmod"])
def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_of_the_old_file_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with path.open() as reader:
        write_atomically(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("exists", [True, False])
def test_links_stay_links(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.parent.mkdir()
    if exists:
        target.write_text("old")
    link.symlink_to(Path("folder", "target"))
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).symlink_to(tmp_path / other)
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_modes_are_kept_and_new_files_follow_the_umask(tmp_path: Path) -> None:
    old, new, usual = tmp_path / "old", tmp_path / "new", tmp_path / "usual"
    old.write_text("")
    old.chmod(0o640)
    usual.write_text("")
    for path in (old, new):
        write_atomically(path, "text")
    assert mode_of(old) == 0o640
    assert mode_of(new) == mode_of(usual)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_protected_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_a_folder_is_an_error_and_stays(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path, "text")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="irectory"):
        write_atomically(tmp_path / "file" / "below", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_devices_are_written_to() -> None:
    write_atomically(Path(os.devnull), "text")
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipes_are_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = b"x" * 1_000_000  # more than a pipe holds at once
    writer = threading.Thread(target=write_atomically, args=(path, content), daemon=True)
    writer.start()
    with path.open("rb") as pipe:
        assert pipe.read() == content
    writer.join(60)
    assert path.is_fifo()


_PRINTS = """
import sys
from pathlib import Path
from amad_core.files import write_atomically
print("before")
write_atomically(Path(sys.argv[1]), "written\\n")
print("after")
"""


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
@pytest.mark.parametrize("name", ["/dev/stdout", "out"])
def test_what_is_printed_into_the_same_file_is_not_lost(tmp_path: Path, name: str) -> None:
    path, command = tmp_path / "out", [sys.executable, "-c", _PRINTS]
    with path.open("wb") as out:
        subprocess.run([*command, str(tmp_path / name)], stdout=out, check=True)
    assert path.read_text() == "before\nwritten\nafter\n"
    if name == "/dev/stdout":
        done = subprocess.run([*command, name], capture_output=True, text=True, check=True)
        assert done.stdout == "before\nwritten\nafter\n"
