"""All groups as one frozen tree, and how it is read from the environment and `.env`."""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.env_file import read_env_file
from app.errors import InvalidSettings
from app.settings.group import Group
from app.settings.models import BatchSettings, CaptionSettings, GenerationSettings, ModelSettings, RewriteSettings
from app.settings.pictures import (
    DeleteSettings,
    DuplicatesSettings,
    FetchSettings,
    ImageSettings,
    ImportSettings,
    MetadataSettings,
    StorageSettings,
    WebSettings,
)
from app.settings.searching import (
    ChromaSettings,
    IndexSettings,
    MilvusSettings,
    SearchSettings,
    SessionSettings,
    VectorSettings,
)
from app.settings.server import ServerSettings


class Settings(BaseModel):
    """The root of the tree: one group a field, each of which reads its own variables."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    storage: StorageSettings = Field(default_factory=StorageSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    image: ImageSettings = Field(default_factory=ImageSettings)
    metadata: MetadataSettings = Field(default_factory=MetadataSettings)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    sessions: SessionSettings = Field(default_factory=SessionSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    delete: DeleteSettings = Field(default_factory=DeleteSettings)
    duplicates: DuplicatesSettings = Field(default_factory=DuplicatesSettings)
    vector: VectorSettings = Field(default_factory=VectorSettings)
    milvus: MilvusSettings = Field(default_factory=MilvusSettings)
    chroma: ChromaSettings = Field(default_factory=ChromaSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    imports: ImportSettings = Field(default_factory=ImportSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    caption: CaptionSettings = Field(default_factory=CaptionSettings)
    rewrite: RewriteSettings = Field(default_factory=RewriteSettings)
    generation: GenerationSettings = Field(default_factory=GenerationSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)


def variables() -> Iterator[tuple[str, object, str]]:
    """(name, default, description) of every environment variable, in the order of the tree."""
    for group in _groups():
        for name, field in group.model_fields.items():
            yield _variable(group, name), field.default, field.description or ""


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables from which another process's `load_settings` makes the same settings."""
    groups: list[Group] = [getattr(settings, name) for name in Settings.model_fields]
    return {
        _variable(type(group), name): str(getattr(group, name)) for group in groups for name in type(group).model_fields
    }


def _groups() -> Iterator[type[Group]]:
    """In the order of the tree."""
    for field in Settings.model_fields.values():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Group)
        yield field.annotation


def _variable(group: type[Group], field_name: str) -> str:
    alias = group.model_fields[field_name].validation_alias
    return str(alias) if alias else f"{group.model_config.get('env_prefix', '')}{field_name}".upper()


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Settings from the environment, and from `env_file` for what the environment does not say.

    The file's variables are put into the environment, where boto3 finds its `AWS_*` ones.
    Raises InvalidSettings naming each bad variable, an unknown variable of the file, and a line that can't be read.
    """
    if env_file is not None and env_file.is_file():
        known = [name for name, _, _ in variables()]
        for name, value in read_env_file(env_file, known).items():
            os.environ.setdefault(name, value)
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{_variable_of(error, item['loc'])}: {item['msg']}" for item in error.errors())
        raise InvalidSettings(f"Settings can't be used. {problems}. See .env.example.") from error


def _variable_of(error: ValidationError, location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    group = next(cls for cls in _groups() if cls.__name__ == error.title)
    return _variable(group, name) if name in group.model_fields else name
