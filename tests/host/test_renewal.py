"""A reload of modules: what changed and only that, and the way back to exactly what was there."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventbus.host.application import Application
from eventbus.host.renewal import Renewal


class World:
    """A folder of modules, and an import system that finds them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Application()

    def write(self, **files: str) -> None:
        """Write modules; two underscores stand for a slash, INIT for `__init__`."""
        for name, text in files.items():
            path = self.folder / f"{name.replace('__', '/').replace('INIT', '__init__')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def load(self, name: str) -> Any:
        """Import a module of the folder."""
        importlib.invalidate_caches()
        self.home.use(self.folder)
        return importlib.import_module(name)

    def renew(self) -> Renewal:
        """Take what changed out."""
        return Renewal(self.home)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path, finders, modules = list(sys.path), list(sys.meta_path), set(sys.modules)
    # A test before this one may have loaded an application in this process: its finder comes first.
    sys.meta_path[:] = [each for each in finders if not isinstance(each, Application)]
    yield World(tmp_path)
    sys.path[:], sys.meta_path[:] = path, finders
    for name in sys.modules.keys() - modules:
        del sys.modules[name]


def package(world: World) -> None:
    """An application: app imports shop.orders, that imports shop.models; shop.stock is by itself."""
    world.write(
        app="from shop.orders import handle\nimport shop.stock\n",
        shop__INIT="",
        shop__models="class Order: pass\n",
        shop__orders="from .models import Order\nseen = []\nhandle = 1\n",
        shop__stock="class Item: pass\n",
    )


def test_what_changed_and_what_imports_it_is_new_and_the_rest_stays(world: World) -> None:
    package(world)
    world.load("app")
    before = {name: sys.modules[name] for name in ("app", "shop", "shop.orders", "shop.models", "shop.stock")}
    world.write(shop__orders="from .models import Order\nhandle = 2\n")
    assert world.renew().stale == {"app", "shop.orders"}
    assert world.load("app").handle == 2
    kept = {name for name, module in before.items() if sys.modules[name] is module}
    assert kept == {"shop", "shop.models", "shop.stock"}
    assert sys.modules["shop"].orders is sys.modules["shop.orders"]


def test_a_package_that_changed_keeps_the_modules_below_it(world: World) -> None:
    package(world)
    world.load("app")
    stock = sys.modules["shop.stock"]
    world.write(shop__INIT="name = 'shop'\n")
    assert world.renew().stale == {"app", "shop"}
    assert world.load("app").shop.stock is stock
    assert sys.modules["shop"].stock is stock


def test_nothing_changed_is_nothing_new(world: World) -> None:
    package(world)
    app = world.load("app")
    for file in world.folder.rglob("*.py"):
        os.utime(file, (1, 1))
    assert world.renew().stale == set()
    assert world.load("app") is app


def test_a_change_of_the_same_size_at_the_same_time_is_seen(world: World) -> None:
    world.write(app="value = 1\n")
    world.load("app")
    status = (world.folder / "app.py").stat()
    for value in range(2, 6):
        world.write(app=f"value = {value}\n")
        os.utime(world.folder / "app.py", ns=(status.st_atime_ns, status.st_mtime_ns))
        world.renew()
        assert world.load("app").value == value
    assert not (world.folder / "__pycache__").exists()


@pytest.mark.parametrize("how", ["rename", "symlink", "folder"])
def test_a_file_that_is_exchanged_is_seen(world: World, how: str) -> None:
    folder = world.folder
    if how == "rename":
        world.write(app="value = 1\n")
        world.load("app")
        world.write(other="value = 2\n")
        os.replace(folder / "other.py", folder / "app.py")
    else:  # as Kubernetes mounts a ConfigMap
        world.write(one__app="value = 1\n", two__app="value = 2\n")
        (folder / "..data").symlink_to("one")
        if how == "symlink":
            (folder / "app.py").symlink_to("..data/app.py")
        else:
            world.folder = folder / "..data"
        world.load("app")
        (folder / "new").symlink_to("two")
        os.replace(folder / "new", folder / "..data")
    assert world.renew().stale == {"app"}
    assert world.load("app").value == 2


def test_a_deleted_module_is_gone_for_those_that_import_it(world: World) -> None:
    world.write(app="import more\n", more="")
    app = world.load("app")
    (world.folder / "more.py").unlink()
    renewal = world.renew()
    assert renewal.stale == {"app", "more"}
    with pytest.raises(ModuleNotFoundError, match="more"):
        world.load("app")
    renewal.put_back()
    assert world.load("app") is app


def test_a_module_that_comes_is_imported_by_the_one_that_missed_it(world: World) -> None:
    world.write(app="try:\n    import local\nexcept ImportError:\n    local = None\n", idle="import app\n")
    assert world.load("idle").app.local is None
    assert world.renew().stale == set()
    world.write(local="value = 1\n")
    assert world.renew().stale == {"app", "idle"}
    assert world.load("app").local.value == 1


def test_a_module_becomes_a_package(world: World) -> None:
    world.write(app="import more\n", more="value = 1\n")
    world.load("app")
    (world.folder / "more.py").unlink()
    world.write(more__INIT="value = 2\n")
    world.renew()
    assert world.load("app").more.value == 2


def test_modules_that_are_imported_by_code_count(world: World) -> None:
    world.write(
        app="import importlib\nparts = [importlib.import_module(each) for each in ('part',)]\n",
        part="value = 1\n",
    )
    world.load("app")
    world.write(part="value = 2\n")
    assert world.renew().stale == {"app", "part"}
    assert world.load("app").parts[0].value == 2


def test_circles_are_reloaded_as_a_whole(world: World) -> None:
    world.write(one="import two\n", two="import one\n", other="")
    world.load("one")
    world.load("other")
    world.write(two="import one\nvalue = 2\n")
    assert world.renew().stale == {"one", "two"}
    assert world.load("one").two.value == 2


@pytest.mark.parametrize("place", ["lib/site-packages", "env", "wheels"])
def test_what_is_installed_below_the_folder_stays(
    world: World, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = world.folder / place / "lib"
    installed.mkdir(parents=True)
    (installed / "foreign.py").write_text("value = 1\n")
    (world.folder / "env" / "pyvenv.cfg").parent.mkdir(exist_ok=True)
    (world.folder / "env" / "pyvenv.cfg").touch()
    if place == "wheels":
        (installed / "foreign-1.0.dist-info").mkdir()
    # Not by `syspath_prepend`, which uses whatever is loaded under the name `pkg_resources`.
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path])
    importlib.invalidate_caches()
    world.write(app="import foreign\n")
    app = world.load("app")
    (installed / "foreign.py").write_text("value = 2\n")
    assert world.renew().stale == set()
    assert world.load("app") is app


def test_with_python_itself_below_the_folder_its_library_stays(world: World) -> None:
    stdlib = Path(os.__file__).parent
    world.folder = stdlib.parent
    world.load("json.tool")
    world.load("colorsys")
    assert world.home.loaded == {}
    assert world.renew().stale == set()


def test_a_failed_reload_puts_back_exactly_what_was_there(world: World) -> None:
    package(world)
    world.load("app")
    names = set(sys.modules)
    modules = {name: sys.modules[name] for name in world.home.loaded}
    loaded = dict(world.home.loaded)
    attributes = dict(vars(sys.modules["shop"]))
    world.write(
        app="import shop.more, extra.deep\nfrom shop.orders import handle\n1 / 0\n",
        shop__orders="from .models import Order\nhandle = 2\n",
        shop__more="",
        extra__deep="",
    )
    renewal = world.renew()
    with pytest.raises(ZeroDivisionError):
        world.load("app")
    assert "shop.more" in sys.modules
    renewal.put_back()
    assert set(sys.modules) == names
    assert all(sys.modules[name] is module for name, module in modules.items())
    assert world.home.loaded == loaded
    assert vars(sys.modules["shop"]) == attributes
    assert world.load("app").handle == 1
    # And what the files say is still not what runs.
    assert "app" in world.renew().stale


def test_two_hundred_reloads_leave_nothing_behind(world: World) -> None:
    world.write(app="import more\nclass Big: pass\n", more="class Other: pass\n")
    world.load("app")
    seen = []
    before = len(sys.modules)
    for number in range(200):
        world.write(more=f"class Other: value = {number}\n")
        world.renew()
        world.load("app")
        seen.append(weakref.ref(sys.modules["app"].Big))
    gc.collect()
    assert len(sys.modules) == before
    assert len([each for each in seen if each() is not None]) <= 1
    assert len(world.home.loaded) == 2
