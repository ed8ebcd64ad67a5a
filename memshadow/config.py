"""Find ``configs/``, compose one, build objects from it. Knows Hydra; knows nothing of what is built.

Importing it is light; Hydra is read when something is composed.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from memshadow.errors import ConfigError, MemshadowError, MissingExtraError

if TYPE_CHECKING:
    from omegaconf import DictConfig

_HERE = Path(__file__).resolve().parent
_OWN_FOLDER = "config_dir="
_LIVE = re.compile(r"(?<!\\)((?:\\\\)*)\$\{")
"""An interpolation that is followed: its backslashes, if any, escape each other."""
_ENVIRONMENT = "${oc.env:"
_FOLLOWED, _ENDING = re.compile(r"(\\*)\$\{"), re.compile(r"(\\+)(?='|\Z)")
_INNER, _READER = "memory", "recall"
"""The task that is no verb, and a verb that hands its settings on."""
_SCALARS = {int, float, str, bool, type(None)}
_SPECIAL = ("_target_", "_partial_", "_convert_")
# What a _target_ may be called, and where what it names must be defined. Not all of Lightning: its LightningCLI, for
# one, imports whatever its arguments say.
_LIGHTNING = tuple(f"pytorch_lightning.{room}." for room in ("callbacks", "plugins", "profilers", "strategies"))
_NAMES = ("memshadow.", "torch.optim.", *_LIGHTNING)
_HOMES = (*_NAMES, "pytorch_lightning.trainer.")
_TRAINER = "pytorch_lightning.Trainer"
_PURE = ("memshadow.models.losses.", "memshadow.models.metrics.")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'right'?)"`` where a known word is like ``word``, else an empty text."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def config_dir() -> Path:
    """Return the folder of shipped configs: inside the wheel, or beside the package in a checkout.

    Raises:
        ConfigError: neither is there, so the installation is broken.
    """
    for folder in (_HERE / "_configs", _HERE.parent / "configs"):
        if folder.is_dir():
            return folder
    raise ConfigError(f"no configs in {_HERE / '_configs'} nor in {_HERE.parent / 'configs'}; install memshadow again.")


def folders(overrides: Sequence[str] = ()) -> list[Path]:
    """Return where a config is looked for, in order: ``config_dir=...``, ``MEMSHADOW_CONFIGS``, the shipped ones."""
    given = [word.removeprefix(_OWN_FOLDER) for word in overrides if word.startswith(_OWN_FOLDER)]
    own = [Path(word).expanduser().absolute() for word in (*given, os.environ.get("MEMSHADOW_CONFIGS", "")) if word]
    for folder in own:
        if not folder.is_dir():
            raise ConfigError(f"the config folder {folder} is not there; {_OWN_FOLDER}FOLDER names one that is.")
    return [*own, config_dir()]


def load(task: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose ``<task>.yaml`` with Hydra overrides: ``key=value``, ``group=choice``, ``+new=value``, ``~gone``.

    ``config_dir=FOLDER`` among them (or ``MEMSHADOW_CONFIGS``) puts a folder of your own before the shipped one.

    Raises:
        ConfigError: an override cannot be read, names a key or a choice that does not exist (the nearest one is told),
            leaves a ``???`` of the task open, or gives a number or a yes/no of the task as something else.
    """
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException

    where = folders(overrides)
    words = [word for word in overrides if not word.startswith(_OWN_FOLDER)]
    try:
        config = _compose(task, words, where)
    except OverrideParseException as error:
        raise ConfigError(_unreadable(error.override, error.message)) from error
    except MissingConfigException as error:
        raise ConfigError(_no_such_file(task, error.missing_cfg_file, error.options or ())) from error
    except ConfigCompositionException as error:
        raise ConfigError(
            _no_such_place(task, words, where) or _no_such_key(task, words, where) or _in_one_line(error)
        ) from error
    except ValueError as error:  # what Hydra has for group=null and group=5
        raise ConfigError(_no_name(words, where) or _in_one_line(error)) from error
    _refuse_open(task, config)
    _refuse_wrong_kind(task, config, where)
    return config


def chosen(task: str, overrides: Sequence[str] = ()) -> list[str]:
    """Return what a task chooses, as one says it: ``ranking``, ``ranker@ranking.ranker``; errors as :func:`load`."""
    load(task, overrides)
    return _chosen(task, [word for word in overrides if not word.startswith(_OWN_FOLDER)], folders(overrides))


def quoted(text: str) -> str:
    r"""Return text as one word of Hydra's grammar, so that any path can be a value: it is read back as it is.

    In quotes; those inside are escaped, and so is ``${``, which would be followed. Backslashes are doubled where they
    would escape something: before ``${``, a quote, or the end. Only ``???`` alone has no way of being said.
    """
    said = _FOLLOWED.sub(r"\1\1\\${", text)
    return "'" + _ENDING.sub(r"\1\1", said).replace("'", r"\'") + "'"


def as_overrides(group: str, values: Mapping[str, str | int]) -> list[str]:
    """Return settings of a part as overrides: ``{"model": "a b"}`` of ``embedder`` is ``embedder.model='a b'``."""
    said = {name: quoted(value) if isinstance(value, str) else value for name, value in values.items()}
    return [f"{group}.{name}={value}" for name, value in said.items()]


def plain(node: DictConfig, *, resolve: bool = False) -> dict[str, Any]:
    """Return a node as nested dicts, lists and scalars, to be logged or written down.

    Unresolved by default. With ``resolve`` every interpolation is followed except those into the environment, which
    stay as they stand (``${oc.env:NAME}``), also where another key points at them: a secret never leaves in a log.
    """
    from omegaconf import OmegaConf

    key = node._get_full_key(None)
    if resolve:
        root = OmegaConf.create(_veiled(OmegaConf.to_container(node._get_root())))
        node = OmegaConf.select(root, key) if key else root
    found: dict[str, Any] = OmegaConf.to_container(node, resolve=resolve)  # type: ignore[assignment]
    return found


def _veiled(tree: Any) -> Any:
    """Return the tree with every value that reads the environment escaped into the text of its interpolation."""
    if isinstance(tree, dict):
        return {key: _veiled(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_veiled(item) for item in tree]
    return _LIVE.sub(r"\1\\${", tree) if isinstance(tree, str) and _ENVIRONMENT in tree else tree


def build(node: DictConfig | Mapping[str, Any], **runtime: Any) -> Any:
    """Return the object that ``node`` describes: ``_target_`` called with the node's other keys and with ``runtime``.

    Nodes inside it are built first; ``_partial_: true`` gives a ``functools.partial``. Arguments arrive as plain dicts,
    lists and scalars. ``runtime`` is passed on as it is, over the node's own keys: nothing in it is ever built.

    A config is code, so a target must be a public class that is *defined* in a trusted package (or a function of a
    module that holds pure functions only), under the very name of a module: attributes are not walked, so neither
    ``memshadow.cli.sys.exit`` nor ``memshadow.cli.main`` can be reached. Never build a config that came in a
    checkpoint, an upload or a message.

    Raises:
        ConfigError: the target is not trusted or does not exist, or the arguments do not fit; the message begins with
            the place in the config.
        MemshadowError: whatever the constructor raised, with a note of the place.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(node, DictConfig):
        return _made(node, "", runtime)
    path = str(node._get_full_key(None) or "")
    try:
        tree = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path or 'the config'}: {_in_one_line(error)}") from error
    return _made(tree, path, runtime)


def _made(node: Any, path: str, runtime: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Build what stands below first, then the node itself."""
    if isinstance(node, list):
        return [_made(item, f"{path}[{i}]") for i, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    given = {key: _made(value, _join(path, key)) for key, value in node.items() if key not in _SPECIAL}
    given.update(runtime)
    if "_target_" not in node:
        return given
    target = _trusted(node["_target_"], path)
    where, partial = path or str(node["_target_"]), bool(node.get("_partial_"))
    if partial:  # what is still open is given by whoever calls it
        given = {key: value for key, value in given.items() if not (isinstance(value, str) and value == "???")}
    _check_arguments(target, given, where, partial=partial)
    if partial:
        return functools.partial(target, **given)
    try:
        return target(**given)
    except MemshadowError as error:
        error.add_note(f"(while building {where})")
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} ({node['_target_']}) does not accept its settings: {error}") from error


def _trusted(name: Any, path: str) -> Callable[..., Any]:
    """Return the class or pure function called ``name``, or refuse it."""
    where = path or "the config"
    if not isinstance(name, str) or not (name.startswith(_NAMES) or name == _TRAINER):
        raise ConfigError(f"{where}: {name!r} is not a trusted _target_; one is {_TRAINER} or of {', '.join(_NAMES)}")
    module_name, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name and not f"{module_name}.".startswith(f"{error.name}."):
            raise MissingExtraError(error.name, "train") from error
        raise ConfigError(f"{where}: there is no module {module_name!r} to take {attribute!r} from.") from error
    except AttributeError as error:
        raise ConfigError(f"{where}: the module {module_name!r} has no {attribute!r}.") from error
    home = f"{getattr(found, '__module__', '')}."
    fit = home.startswith(_HOMES) if isinstance(found, type) else inspect.isfunction(found) and home in _PURE
    if not fit or attribute.startswith("_"):
        raise ConfigError(
            f"{where}: {name!r} is not a trusted _target_; it must be a public class defined in memshadow, torch.optim "
            f"or Lightning, or a function of {', '.join(part.rstrip('.') for part in _PURE)}."
        )
    return found  # type: ignore[no-any-return]


def _check_arguments(target: Callable[..., Any], given: Mapping[str, Any], where: str, *, partial: bool) -> None:
    """Refuse an argument that the target does not take, lacks, or whose plain type is not the declared one."""
    try:
        signature = inspect.signature(target)
    except ValueError as error:  # an exception class, say: built by code, never by a config
        raise ConfigError(
            f"{where}: {target} does not say which settings it takes, so no config can build it."
        ) from error
    takes = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    anything = len(takes) < len(signature.parameters)
    for key, value in given.items():
        if key not in takes and not anything:
            raise ConfigError(f"{where} has no setting {key!r}{nearest(key, takes)}; it takes {', '.join(takes)}.")
        if isinstance(value, str) and value == "???":
            raise ConfigError(f"{_join(where, key)} must be given: {_join(where, key)}=...")
    try:
        (signature.bind_partial if partial else signature.bind)(**given)
        hints = get_type_hints(inspect.unwrap(vars(target).get("__init__", target)))
    except TypeError as error:
        raise ConfigError(f"{where} lacks a setting: {error}; it takes {', '.join(takes)}.") from error
    except NameError:  # an annotation imported for the type checker only: nothing to compare with
        return
    for key, value in given.items():
        if not _fits(value, hints.get(key)):
            wanted = str(getattr(hints[key], "__name__", hints[key])).removeprefix("typing.")
            raise ConfigError(f"{_join(where, key)} must be {wanted}, got {value!r} ({type(value).__name__}).")


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a scalar is what a plain annotation says; all else is the target's own business."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    wanted = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
    if not wanted <= _SCALARS or type(value) not in _SCALARS | {list, dict}:
        return True
    return type(value) in wanted or (type(value) is int and float in wanted)


def _compose(task: str, words: Sequence[str], where: Sequence[Path], *, told: bool = False) -> DictConfig:
    """Let Hydra compose from the last folder, those before it shadowing its files; ``told``: with what it chose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    *own, shipped = where
    with initialize_config_dir(str(shipped), job_name=task, version_base="1.3"):
        if own:  # hydra.searchpath would put them behind
            loader: Any = GlobalHydra.instance().config_loader()
            search = loader.get_search_path()
            for folder in reversed(own):
                search.prepend("own", str(folder))
            loader.repository.initialize_sources(search)
        return compose(task, overrides=list(words), return_hydra_config=told)


def _chosen(task: str, words: Sequence[str], where: Sequence[Path]) -> list[str]:
    """Return each group that a task chooses from, with its place where it has one, in order."""
    choices = _compose(task, words, where, told=True).hydra.runtime.choices
    return sorted(name for name in map(str, choices) if not name.startswith("hydra/"))


def _unreadable(override: str, reason: str) -> str:
    """Say what is wrong with an override that Hydra's grammar refuses."""
    if override.startswith("-"):
        return f"there is no option {override!r}; settings are written key=value, without dashes."
    if "=" not in override:
        return f"cannot read {override!r}: a setting is written key=value."
    shown = " ".join(line for line in reason.splitlines() if "http" not in line and "Error parsing" not in line)
    return f"cannot read {override!r} ({shown.strip()}); quote what holds commas, brackets or spaces: 'key=\"a, b\"'."


def _no_such_file(task: str, missing: str | None, choices: Sequence[str]) -> str:
    """Say which choices a group has, or that the task has no config."""
    group, _, name = (missing or "").rpartition("/")
    if not group:
        return f"there is no config {missing or task!r} in {', '.join(str(folder) for folder in folders())}."
    return f"{group} has no choice {name!r}{nearest(name, choices)}; it has {', '.join(sorted(choices)) or 'none'}."


def _groups(words: Sequence[str], where: Sequence[Path]) -> list[Any]:
    """Return those of the overrides, parsed, that choose a part."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(words))
    return [one for one in parsed if any((folder / one.key_or_group).is_dir() for folder in where)]


def _no_name(words: Sequence[str], where: Sequence[Path]) -> str:
    """Return what to say where a part is chosen by something that is no name; empty if none is."""
    for one in _groups(words, where):
        if not isinstance(one.value(), (str, list)):
            names = sorted({file.stem for folder in where for file in (folder / one.key_or_group).glob("*.yaml")})
            return f"cannot take {one.input_line!r}: a part is chosen by its name, one of {', '.join(names)}."
    return ""


def _no_such_place(task: str, words: Sequence[str], where: Sequence[Path]) -> str:
    """Return what to say where an override chooses a part at a place that has none; empty if none does."""
    from hydra.errors import ConfigCompositionException

    groups = [one for one in _groups(words, where) if not one.is_add()]
    taken: list[str] = []
    for one in sorted(groups, key=lambda o: (o.package or "").count(".") + bool(o.package)):  # what is around it first
        name = f"{one.key_or_group}@{one.package}" if one.package else one.key_or_group
        try:
            known = _chosen(task, taken, where)
        except ConfigCompositionException:
            return ""
        if name not in known:
            near = next((like for like in known if like.startswith(f"{one.key_or_group}@")), "")
            hint = f" (did you mean {near!r}?)" if near else nearest(name, known)
            beside = f" with {' '.join(taken)}" if taken else ""
            return f"{task}{beside} has no part {name!r} to choose{hint}; it has {', '.join(known)}."
        taken.append(str(one.input_line))
    return ""


def _no_such_key(task: str, words: Sequence[str], where: Sequence[Path]) -> str:
    """Return what to say where an override names a key that the composed config does not have; empty if none does."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import ConfigCompositionException
    from omegaconf import OmegaConf

    groups = {part.relative_to(folder).as_posix() for folder in where for part in folder.rglob("*") if part.is_dir()}
    parsed = OverridesParser.create().parse_overrides(list(words))
    try:
        config = _compose(task, [str(o.input_line) for o in parsed if o.key_or_group in groups], where)
    except ConfigCompositionException:
        return ""
    known = {*_keys(OmegaConf.to_container(config)), *groups}
    wrong = [o.key_or_group for o in parsed if o.key_or_group not in known and not (o.is_add() or o.is_force_add())]
    if not wrong:
        return ""
    part = wrong[0].partition(".")[0]
    shown = f"{_READER} --help" + f" {part}=..." * (part in groups) if task == _INNER else f"{task} --help"
    return f"{task} has no setting {wrong[0]!r}{nearest(wrong[0], known)}; `memshadow {shown}` lists them."


def _refuse_open(task: str, config: DictConfig) -> None:
    """Refuse a task whose own keys still hold ``???``; those of a node to build are checked where it is built."""
    from omegaconf import OmegaConf

    for key in map(str, config):
        if OmegaConf.is_missing(config, key):
            raise ConfigError(f"{task} needs {key}: memshadow {task} {key}=...")


def _refuse_wrong_kind(task: str, config: DictConfig, where: Sequence[Path]) -> None:
    """Refuse another kind of value where the task's own default is a number or a truth value; classes check theirs."""
    from omegaconf import OmegaConf

    file = next(folder / f"{task}.yaml" for folder in where if (folder / f"{task}.yaml").is_file())
    for name, default in OmegaConf.load(file).items_ex(resolve=False):
        key, wanted = str(name), type(default)
        value = config.get(key)
        if wanted in (int, float, bool) and key in config and not _fits(value, wanted):
            raise ConfigError(f"{key} must be {wanted.__name__}, got {value!r} ({type(value).__name__}).")


def _keys(tree: Any, path: str = "") -> Iterator[str]:
    """Yield every dotted key of nested dicts."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield _join(path, key)
            yield from _keys(value, _join(path, key))


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _in_one_line(error: BaseException) -> str:
    """Return the messages of an error and of its cause, in one line."""
    return " ".join(" ".join(str(link) for link in (error, error.__cause__) if link).split())
