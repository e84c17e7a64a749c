"""Messages that name the key as a user writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

_REFERENCE = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,[^{}]*)?\}")
_UNEXPECTED = re.compile(r"\S*\(\) got an unexpected keyword argument '(\w+)'$")
_LACKS = re.compile(r"\S*\(\) missing \d+ required [a-z -]*arguments?: '(\w+)'")
_PLACE = re.compile(r"^full_key: (\S+)$", re.MULTILINE)


def typed_key(settings: Any, key: str) -> str:
    """Where the value that stands at `key` comes from, in plain, unresolved `settings`.

    `systems.serving.client.workload.count` is `workload.count` where `systems.serving.client` is
    `${client}` and the workload there `${workload}`.
    """
    words = key.split(".")
    part = settings
    for place, word in enumerate(words, start=1):
        part = inside(part, word)
        found = _REFERENCE.fullmatch(part) if isinstance(part, str) else None
        if found and found[1].split(".")[0] in settings:
            return typed_key(settings, ".".join([found[1], *words[place:]]))
    return key


def explained(cause: Exception, error: Exception, key: str, part: Any, written: Any) -> str:
    """What `cause` says, with the key that it speaks of in full.

    `error`: Hydra's, which says where in `part`, the settings at `key`, something could not be
    made; `cause` may begin with a parameter there ("count is -1; ..."). `written`: all settings,
    as for `typed_key`.
    """
    for word in _words_of(error):
        key, part = f"{key}.{word}", inside(part, word)
    message = str(cause)
    if not isinstance(part, Mapping):
        return message
    name, _, rest = message.partition(" is ")
    if rest and name in part:
        return f"{typed_key(written, f'{key}.{name}')} is {rest}"
    unexpected = _UNEXPECTED.match(message)
    if unexpected and unexpected[1] in part:
        # Not what it refers to is wrong, but that it stands here.
        wrong = f"{typed_key(written, key)}.{unexpected[1]}"
        others = [str(other) for other in part if other != unexpected[1]]
        close = get_close_matches(unexpected[1], others, n=1, cutoff=0.7)
        instead = f"did you mean {close[0]}?" if close else f"~{wrong} leaves it out"
        return f"{wrong}: {part.get('_target_')} takes no such setting; {instead}"
    lacks = _LACKS.match(message)
    if lacks:
        return f"{typed_key(written, f'{key}.{lacks[1]}')}: must be given"
    return message


def inside(part: Any, word: str) -> Any:
    """What stands at a key or place of a part; None where there is none."""
    if isinstance(part, list):
        return part[int(word)] if word.isdigit() and int(word) < len(part) else None
    return part.get(word) if isinstance(part, Mapping) else None


def _words_of(error: Exception) -> list[str]:
    found = _PLACE.search(str(error))
    return re.findall(r"[^.\[\]]+", found[1]) if found else []
