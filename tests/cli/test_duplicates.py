"""`image2search duplicates DIR`: over real files, with the demo model."""

import json
from pathlib import Path

import pytest
from PIL import Image

from app.folder_cache import settings_for
from app.settings import load_settings
from tests.cli.workplace import Ended, Workplace
from tests.pictures.test_perceptual import photo
from tests.support.pictures import encoded


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A folder `albums`: six photos; one with the same bytes twice, one smaller, turned; a name with odd letters."""
    place = Workplace(tmp_path_factory.mktemp("cli"), "demo")
    albums = place.root / "albums"
    (albums / "sub").mkdir(parents=True)
    for number in range(6):
        (albums / f"{number}.jpg").write_bytes(encoded(photo(number, (160, 120)), "JPEG", quality=90))
    (albums / "sub" / "copy of 1.jpg").write_bytes((albums / "1.jpg").read_bytes())
    small = photo(2, (160, 120)).resize((80, 60)).transpose(Image.Transpose.ROTATE_90)
    (albums / "sub" / "small\n2.png").write_bytes(encoded(small))
    return place


def found(workplace: Workplace, *arguments: str) -> Ended:
    ended = workplace.run("duplicates", "albums", *arguments)
    assert ended.returncode in (0, 3), ended.stderr
    return ended


def test_groups_are_printed_to_be_read(workplace: Workplace) -> None:
    ended = found(workplace, "--kind", "bytes", "--kind", "photo")
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0
    assert lines[0] == "Same bytes:"
    assert lines[1].startswith("  keep  albums/1.jpg (160 x 120, ")
    assert lines[1].endswith(": it is the oldest")
    assert lines[2].startswith("        albums/sub/copy of 1.jpg (160 x 120, ")
    assert lines[3:5] == ["", "Same photo:"]
    assert lines[5].startswith("  keep  albums/2.jpg (160 x 120, ")
    assert lines[5].endswith(": it has the most pixels")
    assert lines[6].startswith("        albums/sub/small\\n2.png (60 x 80, ")
    assert lines[6].endswith(", flipped or turned")
    assert "8 pictures compared, groups of duplicates: 2." in ended.stderr


def test_groups_as_json(workplace: Workplace) -> None:
    groups = json.loads(found(workplace, "--json", "--kind", "photo").stdout)["groups"]
    (group,) = groups
    assert group["keep"]["path"] == "albums/2.jpg"
    assert (group["kind"], group["reason"], group["burst"]) == ("photo", "resolution", False)
    (other,) = group["others"]
    assert (other["path"], other["turned"], other["width"]) == ("albums/sub/small\n2.png", True, 60)
    assert group["freed_bytes"] == other["size_bytes"] == (workplace.root / other["path"]).stat().st_size


def test_paths_for_scripts_are_those_not_to_keep(workplace: Workplace) -> None:
    ended = workplace.run_process("duplicates", "albums", "--print0", "--kind", "photo", "--exit-code")
    assert ended.returncode == 3, ended.stderr
    assert ended.stdout == "albums/sub/small\n2.png\0"


def test_the_exit_code_can_say_that_there_are_none(workplace: Workplace) -> None:
    ended = found(workplace, "--kind", "similar", "--exit-code")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "8 pictures compared, groups of duplicates: 0." in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "There is no folder nowhere."),
        (["albums", "--print0"], "Say with --kind which duplicates are meant."),
        (["albums", "--print0", "--json", "--kind", "photo"], "exclude each other"),
    ],
)
def test_wrong_use_is_explained(workplace: Workplace, arguments: list[str], said: str) -> None:
    ended = workplace.run("duplicates", *arguments)
    assert ended.returncode == 1
    assert said in ended.stderr


def test_an_index_of_an_earlier_version_is_completed(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no hashes; without them no copy would be found."""
    found(workplace, "--kind", "photo")
    monkeypatch.chdir(workplace.root)
    for name, value in workplace.settings.items():
        monkeypatch.setenv(name, value)
    index = Path(settings_for(Path("albums"), load_settings()).index.url.removeprefix("file://"))
    forget_hashes(index)
    assert "albums/2.jpg" in found(workplace, "--kind", "photo").stdout


def forget_hashes(index: Path) -> None:
    """Publish the records of an index without their hashes."""
    from dataclasses import replace

    from app.catalog.changes import Changes
    from app.storage.local import LocalStore
    from tests.support.catalogs import catalog_on

    catalog = catalog_on(LocalStore(index))
    snapshot = catalog.load()
    assert snapshot is not None
    rows = list(snapshot.records)
    records = [replace(record, perceptual_hash=None) for record in snapshot.records.take(rows)]
    catalog.publish(
        Changes(added=tuple(records), vectors=snapshot.vectors.get(rows)), snapshot.pointer.model, since=snapshot
    )
