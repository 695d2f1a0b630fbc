"""Every setting, its default and its meaning, as one frozen tree read from the environment and `.env`.

Nothing is read at import; the entry points call `load_settings`.
"""

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
from app.settings.server import COMPAT, ServerSettings
from app.settings.tree import Settings, environment_of, load_settings, variables

__all__ = [
    "COMPAT",
    "BatchSettings",
    "CaptionSettings",
    "ChromaSettings",
    "DeleteSettings",
    "DuplicatesSettings",
    "FetchSettings",
    "GenerationSettings",
    "ImageSettings",
    "ImportSettings",
    "IndexSettings",
    "MetadataSettings",
    "MilvusSettings",
    "ModelSettings",
    "RewriteSettings",
    "SearchSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "StorageSettings",
    "VectorSettings",
    "WebSettings",
    "environment_of",
    "load_settings",
    "variables",
]
