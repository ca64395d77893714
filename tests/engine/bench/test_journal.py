"""A journal that is cut, resumed, and shared by configurations."""

from __future__ import annotations

from pathlib import Path

from lmaps.engine.bench.journal import Journal, Record, key


def test_records_outlive_the_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "records.jsonl")
    journal.add({"key": "a", "psnr": 1.5})
    journal.add({"key": "b", "psnr": 2.5})
    again = Journal(journal.path)
    assert again.get("a") == {"key": "a", "psnr": 1.5}
    assert again.get("c") is None


def test_a_line_cut_short_is_skipped_and_the_next_record_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    journal = Journal(path)
    journal.add({"key": "a", "psnr": 1.5})
    journal.add({"key": "b", "psnr": 2.5})
    path.write_bytes(path.read_bytes()[:-9])
    cut = Journal(path)
    assert cut.get("a") is not None
    assert cut.get("b") is None
    cut.add({"key": "b", "psnr": 3.5})
    whole = Journal(path)
    assert (whole.get("a"), whole.get("b")) == ({"key": "a", "psnr": 1.5}, {"key": "b", "psnr": 3.5})


def test_foreign_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('[1, 2]\nnot json\n{"no": "key"}\n{"key": "a"}\n', encoding="utf-8")
    assert Journal(path).get("a") == {"key": "a"}


def test_keys_follow_every_entry_and_not_their_order() -> None:
    config: Record = {"task": "sr4", "compiling": {"steps": 5, "rho": None}}
    assert key(config) == key({"compiling": {"rho": None, "steps": 5}, "task": "sr4"})
    changed = [{**config, "task": "jpeg"}, {**config, "compiling": {"steps": 6, "rho": None}}, {**config, "seed": 0}]
    assert len({key(one) for one in [config, *changed]}) == 4
