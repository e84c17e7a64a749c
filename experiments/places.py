"""What there is at, and around, a place of the settings that does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from sim.core.keys import inside, typed_key

#: What a newcomer may look for under another name.
_INSTEAD = {"duration_s": "until_s ends a run at a time"}
#: Of a part's keys, what is no setting.
_NO_SETTINGS = ("_target_", "_partial_", "source")


def told(typed: str, written: Mapping[Any, Any]) -> str:
    """Of a key that cannot be set: where it ends, or stands, in plain, unresolved settings, and
    what there is instead; nothing where the key can. `written` has the key's first word."""
    around, _, last = typed.rpartition(".")
    key = f"{typed_key(written, around)}.{last}"
    words = key.split(".")
    part: Any = written
    at = 0
    while at < len(words) and _has(part, words[at]):
        part = inside(part, words[at])
        at += 1
    if at == len(words):
        return "" if key == typed else f"{typed}: stands there as a reference; set {key}"
    place, rest = ".".join(words[:at]), ".".join(words[at:])
    if isinstance(part, Mapping) and any(not isinstance(each, str) for each in part):
        return f"{place}.{rest}: {_of_numbers(place, part, rest)}"
    said = _beside(place, part, words[at], written)
    return "; ".join([f"{place}.{words[at]}: no such setting", *said])


def nearest(word: str, keys: Sequence[str]) -> list[str]:
    """The one or two keys that a word may have been meant for, whole or by their beginning."""
    found = get_close_matches(word, keys, n=2, cutoff=0.7)
    if found or len(word) < 4:
        return found
    begins = {key: key[: len(word) + 1] for key in keys}
    close = get_close_matches(word, list(begins.values()), n=2, cutoff=0.8)
    return [key for key in keys if begins[key] in close][:2]


def _has(part: Any, word: str) -> bool:
    if isinstance(part, list):
        return word.isdigit() and int(word) < len(part)
    return isinstance(part, Mapping) and word in part


def _of_numbers(place: str, part: Mapping[Any, Any], key: str) -> str:
    """Keys that are numbers, which Hydra takes in a mapping alone."""
    if key in map(str, part):
        return (
            "a key that is a number has no name; give it in a mapping, which leaves the others as "
            f"they are: '{place}={{{key}: ...}}'"
        )
    there = ", ".join(map(str, part))
    return f"no such setting; {place} has {there}; a number is added by '+{place}={{{key}: ...}}'"


def _beside(place: str, part: Any, leaf: str, written: Mapping[str, Any]) -> list[str]:
    """What a part has that does not have `leaf`, which choices have it, and where it is else."""
    if isinstance(part, list):
        first = f": the first is {place}.0" if part else ""
        return [f"{place} is a list of {len(part)}{first}"]
    if not isinstance(part, Mapping):
        return [f"{place} is {part!r}"]
    keys = [key for key in part if key not in _NO_SETTINGS]
    said = [_INSTEAD[leaf]] if leaf in _INSTEAD else []
    close = nearest(leaf, keys)
    if close:
        said.insert(0, f"did you mean {' or '.join(close)}?")
    else:
        if len(keys) == 1 and isinstance(part[keys[0]], Mapping):
            keys = [f"{keys[0]}.{key}" for key in part[keys[0]] if key not in _NO_SETTINGS]
        said.insert(0, f"{place} has {', '.join(keys) or 'none'}")
        having = _choices_with(place, leaf)
        if having:
            said.append(f"these have it: {place}={', '.join(having)}")
    elsewhere = list(_places_of(leaf, written))
    if 0 < len(elsewhere) <= 2:
        said.append(f"there is {' and '.join(elsewhere)}")
    return said


def _places_of(leaf: str, part: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Keys of that name at any depth, but for references to others."""
    for key, value in part.items():
        if key == leaf and not (isinstance(value, str) and value.startswith("${")):
            yield f"{where}{key}"
        if isinstance(value, Mapping) and key not in _NO_SETTINGS:
            yield from _places_of(leaf, value, f"{where}{key}.")


def _choices_with(group: str, key: str) -> list[str]:
    """Shipped choices of a group that have such a key."""
    from omegaconf import OmegaConf

    root = Path(str(files("configs"))) / group
    return [path.stem for path in sorted(root.glob("*.yaml")) if key in OmegaConf.load(path)]
