"""Annual factors of countries and regions from the package codecarbon, where it is installed."""

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


#: Files of regions' annual factors in the package's data/private_infra: what they are of, where
#: they stand, and g/kWh of their unit.
REGIONS = {
    "usa": (Path("2023") / "usa_emissions.json", "emissions", "lbs/MWh"),
    "china": (Path("2023") / "china_provincial_emissions.json", "emission_factor", "gCO2/kWh"),
    "nordic": (Path("nordic_emissions.json"), "emission_factor", "gCO2eq/kWh"),
}
_G_PER_KWH = {"lbs/MWh": 0.45359237, "gCO2/kWh": 1.0, "gCO2eq/kWh": 1.0}


def codecarbon_regions(country: str, folder: Path | None = None) -> FactorTable:
    """Carbon intensity of parts of a country, g/kWh, a year's average: states of the `usa` (by two
    letters), provinces of `china` (CN-BJ), bidding zones of the `nordic` countries (SE1).

    folder: as for countries. Raises ConfigError for another country or where codecarbon is not
    installed, TraceError where the file is another than expected.
    """
    if country not in REGIONS:
        raise ConfigError(f"codecarbon: no regions of {country!r}; there are {', '.join(REGIONS)}")
    file, key, unit = REGIONS[country]
    path = (folder or _installed()) / FILE.parent / file
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        rows = read.get("data", read)
        named = {
            str(row.get("regionCode", name)): row
            for name, row in rows.items()
            if not name.startswith("_")
        }
        units = {row["unit"] for row in named.values()} if "data" in read else None
        if (units or {read["_unit"][key]}) != {unit}:
            raise ValueError(f"its unit is not {unit}")
        values = {name: _G_PER_KWH[unit] * float(row[key]) for name, row in named.items()}
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise TraceError(f"{path}: is no table of regions: {error}") from None
    return FactorTable(
        name=f"codecarbon-{country}",
        unit="g/kWh",
        values=values,
        source={"values": f"codecarbon, {file.name} (MIT)"},
    )


def _installed() -> Path:
    found = find_spec("codecarbon")
    if found is None or found.origin is None:
        raise ConfigError(
            "codecarbon is not installed; pip install 'orrery-sim[carbon]', or use the factors of "
            "configs/carbon/factors"
        )
    return Path(found.origin).parent
