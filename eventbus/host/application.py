"""The application's own modules: those that are found beside the configuration.

They are compiled from their source each time, because the compiled files of Python know a source by its
size and a time in whole seconds: of two changes in one second the second would never run.
"""

from __future__ import annotations

import dataclasses
import linecache
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from .ownership import Ownership
from .readings import Reading
from .references import imported


@dataclasses.dataclass(slots=True, eq=False)
class Loaded:
    """A module of the application, as it was when it was imported."""

    path: str
    source: bytes
    imports: set[str]
    """Names of modules that it imports, of the application or not."""
    absent: set[str] = dataclasses.field(default_factory=set)
    """Those of them that were not there, as nothing is yet that a function may import later."""


class Loader(SourceFileLoader):
    """Loads one module from its source, and keeps what it read."""

    def __init__(self, name: str, path: str, home: Application) -> None:
        super().__init__(name, path)
        self.home = home
        self.source = b""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the source as it is now; compiled files are neither read nor written."""
        self.source = self.get_data(self.path)
        linecache.checkcache(self.path)
        code: CodeType = self.source_to_code(self.source, self.path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run the module. Modules below it that stayed are its attributes again, as after an import."""
        name = module.__name__
        reading = Reading.current()
        if reading is not None and (known := reading.errors.get(name)) is not None:
            raise known
        self.home.attach(module)
        with self.home.importing(name):
            code = self.get_code(name)
            imports = imported(self.source, name, self.is_package(name))
            entry = self.home.loaded[name] = Loaded(self.path, self.source, set(imports))
            try:
                exec(code, module.__dict__)
            except BaseException as error:
                if self.home.loaded.get(name) is entry:
                    del self.home.loaded[name]
                self.home.failed[name] = entry
                if reading is not None:
                    reading.raised[name] = error
                raise
            self.home.failed.pop(name, None)
            if reading is not None:
                reading.raised.pop(name, None)
            entry.absent |= {each for each in imports - sys.modules.keys() if not self.home.has(each)}


class Application:
    """Finds the application's modules, and knows those that are loaded. There is one, as of sys.modules."""

    def __init__(self) -> None:
        self.folder = Path()
        self.owned = Ownership()
        self.loaded: dict[str, Loaded] = {}
        """By the name that each was imported under."""
        self.failed: dict[str, Loaded] = {}
        """What raised at its import."""
        self._importers = threading.local()

    def use(self, folder: Path) -> None:
        """The folder of the configuration: its modules are found before all that is installed."""
        if folder != self.folder:
            self.folder = folder
            self.owned = Ownership(folder)
        if sys.path[:1] != [str(folder)]:
            sys.path.insert(0, str(folder))
        if self not in sys.meta_path:
            # Behind the finders of what is built in, as those go first anywhere else.
            place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
            sys.meta_path.insert(place, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python finds on its path; for a module of the application with a loader of our own."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return spec
        if not self.owned.owns(name, spec.origin):
            return spec
        return spec_from_file_location(
            name,
            spec.origin,
            loader=Loader(name, spec.origin, self),
            submodule_search_locations=spec.submodule_search_locations,
        )

    def invalidate_caches(self) -> None:
        """Nothing is kept here; importlib asks every finder."""

    def importing(self, name: str) -> Importing:
        """A module that is imported by code, rather than by a statement, counts for whoever imports it."""
        return Importing(self, self._importers, name)

    def attach(self, module: ModuleType) -> None:
        """Make the modules below a package its attributes."""
        for name in list(self.loaded):
            parent, _, below = name.rpartition(".")
            if parent == module.__name__ and name in sys.modules:
                setattr(module, below, sys.modules[name])

    def has(self, name: str) -> bool:
        """Whether a module of the application with that name could be imported now."""
        parent, _, _ = name.rpartition(".")
        path = getattr(sys.modules.get(parent), "__path__", None) if parent else [str(self.folder)]
        if path is None:
            return False
        spec = PathFinder.find_spec(name, path)
        return spec is not None and spec.origin is not None and self.owned.owns(name, spec.origin)


class Importing:
    """That a module is being imported, by the one around it in the same thread."""

    def __init__(self, home: Application, importers: threading.local, name: str) -> None:
        self.stack: list[str] = importers.__dict__.setdefault("stack", [])
        self.home = home
        self.name = name

    def __enter__(self) -> None:
        importer = self.home.loaded.get(self.stack[-1]) if self.stack else None
        if importer is not None and not any(
            # Whoever imports `shop.orders` imports `shop` on the way, and holds nothing of it.
            each == self.name or each.startswith(f"{self.name}.")
            for each in importer.imports
        ):
            importer.imports.add(self.name)
        self.stack.append(self.name)

    def __exit__(self, *_: object) -> None:
        self.stack.pop()


application = Application()
