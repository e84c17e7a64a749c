"""Annual factors of countries from the package codecarbon, where it is installed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from models.carbon.factors import FactorTable
from models.errors import ConfigError, TraceError

FILE = Path("data") / "private_infra" / "global_energy_mix.json"


def codecarbon_countries(folder: Path | None = None) -> FactorTable:
    """Carbon intensity by country (three letters), g/kWh, a year's average.

    folder: of the package, by default where it is installed; nothing of it is run. Raises
    ConfigError where it is not installed, TraceError where its file is another than expected.
    """
    path = (folder or _installed()) / FILE
    try:
        countries = json.loads(path.read_text(encoding="utf-8"))
        values = {
            code: float(country["carbon_intensity"])
            for code, country in countries.items()
            if country.get("carbon_intensity") is not None
        }
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise TraceError(f"{path}: is no table of countries: {error}") from None
    return FactorTable(
        name="codecarbon-countries",
        unit="g/kWh",
        values=values,
        source={"values": f"codecarbon, {FILE.name} (MIT)"},
    )


def _installed() -> Path:
    found = find_spec("codecarbon")
    if found is None or found.origin is None:
        raise ConfigError(
            "codecarbon is not installed; pip install 'orrery-sim[carbon]', or use the factors of "
            "configs/carbon/factors"
        )
    return Path(found.origin).parent
