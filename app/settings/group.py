"""A group of settings: each reads the variables of its prefix, `STORAGE_URL` for `settings.storage.url`."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Group(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, env_ignore_empty=True, protected_namespaces=()
    )
