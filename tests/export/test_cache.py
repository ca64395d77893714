"""The artefact cache inside one process: what is kept, what is refused, what is built anew."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps.export import cache as module
from lmaps.export.cache import ArtefactCache, CacheError, CacheUnusable

FACTS = {"kind": "openvino", "graph": "ab" * 32, "shapes": {"x": [1, 3, 40, 24]}, "threads": 2}
CONTENT = bytes(range(256)) * 40


class Builder:
    """A build that counts how often it ran."""

    def __init__(self, content: bytes = CONTENT, name: str = "blob.bin") -> None:
        self.content, self.name, self.runs = content, name, 0

    def __call__(self, folder: Path) -> None:
        self.runs += 1
        (folder / self.name).write_bytes(self.content)


@pytest.fixture
def cache(tmp_path: Path) -> ArtefactCache:
    return ArtefactCache(tmp_path / "cache")


def test_the_second_time_it_is_read_and_not_built(cache: ArtefactCache) -> None:
    build = Builder()
    first, second = cache.get_or_build(FACTS, build), cache.get_or_build(FACTS, build)
    assert (first.outcome, second.outcome, build.runs) == ("built", "hit", 1)
    assert bytes(second.views["blob.bin"]) == second.path("blob.bin").read_bytes() == CONTENT
    assert second.key == first.key
    assert second.facts["shapes"] == FACTS["shapes"]
    assert ArtefactCache(cache.folder).get_or_build(FACTS, build).outcome == "hit"


@pytest.mark.parametrize(
    "change",
    [{"graph": "cd" * 32}, {"shapes": {"x": [1, 3, 40, 32]}}, {"threads": 1}, {"kind": "tensorrt"}, {"new": None}],
)
def test_any_other_fact_is_another_artefact(cache: ArtefactCache, change: dict[str, object]) -> None:
    cache.get_or_build(FACTS, Builder(b"one"))
    other = cache.get_or_build({**FACTS, **change}, Builder(b"two"))
    assert (other.outcome, bytes(other.views["blob.bin"])) == ("built", b"two")
    assert bytes(cache.get_or_build(FACTS, Builder()).views["blob.bin"]) == b"one"


def test_the_order_of_facts_and_tuples_for_lists_change_nothing(cache: ArtefactCache) -> None:
    made = cache.get_or_build(FACTS, Builder())
    turned = {**dict(reversed(FACTS.items())), "shapes": {"x": (1, 3, 40, 24)}}
    assert cache.get_or_build(turned, Builder()).key == made.key
    assert cache.find(turned) is not None


def test_another_version_of_lmaps_builds_anew(cache: ArtefactCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.get_or_build(FACTS, Builder())
    monkeypatch.setattr(module, "_version", lambda: "99.0")
    assert cache.find(FACTS) is None


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "blob.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "blob.bin").write_bytes(data)


def cut_off(folder: Path) -> None:
    os.truncate(folder / "blob.bin", 100)


def make_longer(folder: Path) -> None:
    with (folder / "blob.bin").open("ab") as file:
        file.write(b"\0")


def lose_the_file(folder: Path) -> None:
    (folder / "blob.bin").unlink()


def add_a_file(folder: Path) -> None:
    (folder / "more.bin").write_bytes(b"x")


def swap_for_a_link(folder: Path) -> None:
    (folder.parent / "same").write_bytes(CONTENT)
    (folder / "blob.bin").unlink()
    (folder / "blob.bin").symlink_to(folder.parent / "same")


def swap_for_a_pipe(folder: Path) -> None:
    (folder / "blob.bin").unlink()
    os.mkfifo(folder / "blob.bin")


def spoil_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"facts": {}, "files": ')


def lose_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def tell_of_other_facts(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"threads": 2', '"threads": 3'))


def nest_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        cut_off,
        make_longer,
        lose_the_file,
        add_a_file,
        swap_for_a_link,
        swap_for_a_pipe,
        spoil_the_manifest,
        lose_the_manifest,
        tell_of_other_facts,
        nest_the_manifest,
    ],
)
def test_what_was_edited_is_built_anew_and_never_handed_out(
    cache: ArtefactCache, damage: Callable[[Path], None]
) -> None:
    build = Builder()
    damage(cache.get_or_build(FACTS, build).folder)
    assert cache.find(FACTS) is None
    again = cache.get_or_build(FACTS, build)
    assert (again.outcome, build.runs, bytes(again.views["blob.bin"])) == ("built", 2, CONTENT)
    assert cache.get_or_build(FACTS, build).outcome == "hit"


def test_a_build_that_fails_leaves_nothing(cache: ArtefactCache) -> None:
    def fails(folder: Path) -> None:
        (folder / "half.bin").write_bytes(b"half")
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        cache.get_or_build(FACTS, fails)
    assert cache.entries() == []
    assert list((cache.folder / "building").iterdir()) == []
    assert cache.get_or_build(FACTS, Builder()).outcome == "built"


def leaves_a_link(folder: Path) -> None:
    (folder / "blob.bin").symlink_to("/etc/hostname")


def leaves_a_folder(folder: Path) -> None:
    (folder / "sub").mkdir()


@pytest.mark.parametrize("build", [leaves_a_link, leaves_a_folder, lambda _: None, Builder(name="manifest.json")])
def test_a_build_may_only_leave_plain_files(cache: ArtefactCache, build: Callable[[Path], None]) -> None:
    with pytest.raises(ValueError, match=r"plain files only|left no file"):
        cache.get_or_build(FACTS, build)
    assert cache.entries() == []


def test_what_was_handed_out_survives_its_removal(cache: ArtefactCache) -> None:
    held = cache.get_or_build(FACTS, Builder())
    count, size = cache.clear()
    assert count == 1
    assert len(CONTENT) < size < len(CONTENT) + 1000  # and its manifest
    assert not held.folder.exists()
    assert bytes(held.views["blob.bin"]) == CONTENT


def test_several_files_and_an_empty_one(cache: ArtefactCache) -> None:
    def build(folder: Path) -> None:
        (folder / "a.xml").write_text("<net/>")
        (folder / "empty").touch()

    cache.get_or_build(FACTS, build)
    found = cache.find(FACTS)
    assert found is not None
    assert {name: bytes(view) for name, view in found.views.items()} == {"a.xml": b"<net/>", "empty": b""}


def test_replace_builds_even_what_is_there(cache: ArtefactCache) -> None:
    cache.get_or_build(FACTS, Builder(b"old"))
    cache.replace(FACTS, Builder(b"new"))
    found = cache.find(FACTS)
    assert found is not None
    assert bytes(found.views["blob.bin"]) == b"new"


def test_a_build_may_build_what_it_needs(cache: ArtefactCache) -> None:
    def outer(folder: Path) -> None:
        inner = cache.get_or_build({"kind": "onnx"}, Builder(b"inner"))
        (folder / "outer").write_bytes(bytes(inner.views["blob.bin"]) + b" and outer")

    assert bytes(cache.get_or_build(FACTS, outer).views["outer"]) == b"inner and outer"
    assert {entry.kind for entry in cache.entries()} == {"onnx", "openvino"}


def test_threads_that_want_the_same_build_it_once(cache: ArtefactCache) -> None:
    class Slow(Builder):
        def __call__(self, folder: Path) -> None:
            super().__call__(folder)
            time.sleep(0.3)

    build, outcomes = Slow(), []
    threads = [
        threading.Thread(target=lambda: outcomes.append(cache.get_or_build(FACTS, build).outcome)) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["built", "hit", "hit", "hit", "hit"]
    assert build.runs == 1


def test_waiting_has_an_end(cache: ArtefactCache) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        inside.set()
        leave.wait(20)
        Builder()(folder)

    thread = threading.Thread(target=cache.get_or_build, args=(FACTS, slow))
    thread.start()
    assert inside.wait(20)
    with pytest.raises(CacheUnusable, match=r"another process has held .*\.lock"):
        cache.get_or_build(FACTS, Builder(), wait_s=0.2)
    leave.set()
    thread.join()


def aged(cache: ArtefactCache, number: int, age: float, size: int = 1000, kind: str = "onnx") -> str:
    made = cache.get_or_build({"kind": kind, "number": number}, Builder(bytes(size)))
    os.utime(made.folder, (time.time() - age,) * 2)
    return made.key


def test_the_longest_unused_go_first_and_the_newest_always_stays(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path / "cache", limit=12_000)
    keys = [aged(cache, number, age=100 - number, size=3000) for number in range(3)]
    assert [entry.key for entry in cache.entries()] == keys[::-1]
    cache.get_or_build({"kind": "onnx", "number": 0}, Builder())  # used again
    aged(cache, 3, age=0, size=3000)
    assert {entry.facts["number"] for entry in cache.entries()} == {0, 2, 3}
    assert cache.size() <= 12_000
    aged(cache, 4, age=0, size=20_000)
    assert [entry.facts["number"] for entry in cache.entries()] == [4]


def test_no_limit(tmp_path: Path) -> None:
    cache = ArtefactCache(tmp_path / "cache", limit=0)
    for number in range(3):
        aged(cache, number, age=5)
    assert len(cache.entries()) == 3


def test_clearing_by_age_and_by_kind(cache: ArtefactCache) -> None:
    aged(cache, 0, age=1000)
    aged(cache, 1, age=10)
    aged(cache, 2, age=1000, kind="tensorrt")
    assert cache.clear(older_than_s=500, kind="tensorrt")[0] == 1
    assert cache.clear(older_than_s=500)[0] == 1
    assert [entry.facts["number"] for entry in cache.entries()] == [1]


def test_a_damaged_one_is_listed_as_such_and_can_be_cleared(cache: ArtefactCache) -> None:
    spoil_the_manifest(cache.get_or_build(FACTS, Builder()).folder)
    (entry,) = cache.entries()
    assert (entry.kind, entry.facts) == ("damaged", {})
    assert entry.size >= len(CONTENT)
    assert cache.clear(kind="damaged")[0] == 1


@pytest.mark.parametrize("bad", [{}, {"kind": 3}])
def test_an_artefact_has_a_kind(cache: ArtefactCache, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="kind"):
        cache.get_or_build(bad, Builder())


@pytest.mark.parametrize("bad", [Path("x"), b"bytes", float("nan"), {1, 2}])
def test_facts_that_json_cannot_hold_are_refused(cache: ArtefactCache, bad: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"JSON"):
        cache.get_or_build({**FACTS, "bad": bad}, Builder())


def test_the_folder_is_private(cache: ArtefactCache) -> None:
    made = cache.get_or_build(FACTS, Builder())
    for folder in (cache.folder, made.folder.parent, made.folder, cache.folder / "locks"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(CacheError, match=rf"others may write to .*shared \(mode {mode:o}\).*chmod 700"):
        ArtefactCache(folder)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(CacheError, match=r"belongs to user \d+, not to 4321.*LMAPS_CACHE"):
        ArtefactCache(tmp_path)


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(CacheError, match="is a link"):
        ArtefactCache(tmp_path / "link")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(CacheUnusable, match=r"cannot be used .*LMAPS_CACHE"):
            ArtefactCache(folder)


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "No space left"), (errno.EDQUOT, "quota")])
def test_a_full_disk_says_what_to_do_and_leaves_nothing(cache: ArtefactCache, number: int, words: str) -> None:
    def full(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(CacheUnusable, match=rf"(?i){words}.*lmaps info --clear-cache"):
        cache.get_or_build(FACTS, full)
    assert list((cache.folder / "building").iterdir()) == []


def test_an_error_of_the_build_itself_stays_what_it_is(cache: ArtefactCache) -> None:
    def cannot_read(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "model.onnx")

    with pytest.raises(PermissionError, match=r"model\.onnx"):
        cache.get_or_build(FACTS, cannot_read)


def test_a_folder_that_can_only_be_read_still_gives_what_it_has(
    cache: ArtefactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.get_or_build(FACTS, Builder())

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("utime", "replace", "mkdir"):  # root may write anywhere, so a real mode would not stop this test
        monkeypatch.setattr(os, name, refuse)
    assert cache.get_or_build(FACTS, Builder()).outcome == "hit"
    with pytest.raises(CacheUnusable, match="Read-only file system"):
        cache.get_or_build({**FACTS, "threads": 7}, Builder())


def test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "elsewhere"))
    assert ArtefactCache().folder == tmp_path / "elsewhere"
    monkeypatch.setenv("LMAPS_CACHE", "off")
    with pytest.raises(CacheUnusable, match="LMAPS_CACHE is 'off'"):
        ArtefactCache()
    monkeypatch.delenv("LMAPS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ArtefactCache().folder.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("text", "size"), [("1234", 1234), ("2K", 2048), ("1.5 MiB", 3 << 19), ("3gb", 3 << 30), ("1T", 1 << 40), ("0", 0)]
)
def test_limit_of_the_environment(text: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE_LIMIT", text)
    assert ArtefactCache(tmp_path / "c").limit == size


@pytest.mark.parametrize("text", ["-1", "many", "8 Gigs", "1e3", "nan"])
def test_limits_that_make_no_sense(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE_LIMIT", text)
    with pytest.raises(CacheError, match="LMAPS_CACHE_LIMIT must be a number of bytes"):
        ArtefactCache(tmp_path / "c")


def test_the_manifest_names_digests_sizes_and_facts(cache: ArtefactCache) -> None:
    import hashlib

    made = cache.get_or_build(FACTS, Builder())
    said = json.loads((made.folder / "manifest.json").read_text())
    assert said["files"] == {"blob.bin": {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT)}}
    assert FACTS.items() <= said["facts"].items()
