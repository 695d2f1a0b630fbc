"""read_env_file: what stands in `.env`, and what it says of mistakes."""

import logging
from pathlib import Path

import pytest

from app.env_file import read_env_file
from app.errors import InvalidSettings
from app.settings import variables

KNOWN = [name for name, _, _ in variables()]


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_an_unknown_name_in_the_file_is_refused_with_the_near_one(env_file: Path) -> None:
    env_file.write_text("STORAGE_URI=s3://photos\n")

    with pytest.raises(InvalidSettings, match=r"sets STORAGE_URI, which is no setting\. Did you mean STORAGE_URL\?"):
        read_env_file(env_file, KNOWN)


@pytest.mark.parametrize("name", ["MODLE", "STORAGE_ULR", "LOGLEVEL", "MODEL_NAME", "INDEX_POLL", "milvus_uri"])
def test_names_that_look_like_settings_are_refused(env_file: Path, name: str) -> None:
    env_file.write_text(f"{name}=1\n")

    with pytest.raises(InvalidSettings, match=f"sets {name}, which is no setting"):
        read_env_file(env_file, KNOWN)


@pytest.mark.parametrize("name", ["INDEX_EVERY", "S3_PORT", "TZ", "RAY_ADDRESS", "DATABASE_URL", "PUID", "XYZZY"])
def test_other_programs_names_pass_with_a_debug_line(
    env_file: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    env_file.write_text(f"{name}=300\n")

    with caplog.at_level(logging.DEBUG, "app.env_file"):
        assert read_env_file(env_file, KNOWN) == {name: "300"}
    assert f"sets {name}, which is no setting of image2search" in caplog.text


def test_the_case_of_a_name_in_the_file_matters(env_file: Path) -> None:
    """What would silently be ignored is refused."""
    env_file.write_text("storage_url=s3://photos\n")

    with pytest.raises(InvalidSettings, match="storage_url"):
        read_env_file(env_file, KNOWN)


@pytest.mark.parametrize("line", ["STORAGE_URL s3://photos", "PORT", "MODEL='never closed", "=value", "export"])
def test_a_line_that_is_no_variable_is_refused_with_its_number(env_file: Path, line: str) -> None:
    env_file.write_text(f"# mine\nPORT=8001\n\n\n{line}\nLOG_LEVEL=debug\n")

    with pytest.raises(InvalidSettings, match=r"\.env, line 5, is not NAME=value"):
        read_env_file(env_file, KNOWN)


@pytest.mark.parametrize(
    ("data", "line"),
    [("PORT=1\nMODEL=modèle\n".encode("latin-1"), 2), ("PORT=1\n".encode("utf-16"), 1)],
)
def test_a_file_that_is_not_utf8_is_refused(env_file: Path, data: bytes, line: int) -> None:
    env_file.write_bytes(data)

    with pytest.raises(InvalidSettings, match=rf"\.env, line {line}, is not UTF-8"):
        read_env_file(env_file, KNOWN)


def test_a_file_that_cannot_be_read_is_refused(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    env_file.write_text("PORT=8001\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InvalidSettings, match=r"\.env can't be read: Permission denied"):
        read_env_file(env_file, KNOWN)


def test_a_file_may_begin_with_a_byte_order_mark(env_file: Path) -> None:
    env_file.write_bytes(b"\xef\xbb\xbfPORT=8001\r\nMODEL=mine\r\n")

    assert read_env_file(env_file, KNOWN) == {"PORT": "8001", "MODEL": "mine"}
