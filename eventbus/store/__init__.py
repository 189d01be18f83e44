"""Collections of JSON documents that plugins share; `SqliteStore` keeps them in one file."""

from .collection import Collection, Document
from .protocol import Condition, Place, Store
from .query import Page, Query
from .sqlite import SqliteStore

__all__ = ["Collection", "Condition", "Document", "Page", "Place", "Query", "SqliteStore", "Store"]
