"""Writes `configs/carbon/embodied/catalogue.yaml`: every part's bill, priced.

Run it after a change of a bill or of the foundry: `python -m experiments.embodied_catalogue`. Runs
read the figures from that one file, so that none has to compose and price thirty bills.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

#: Bill of a part whose spec has another name.
_ALIASES = {
    "agilio-cx": "smartnic",
    "bluefield-2": "smartnic",
    "alveo-u250": "fpga",
    "alveo-u280": "fpga",
    "alveo-u50": "fpga",
    "zcu102": "fpga",
    "server-32": "xeon-8275cl",
}
#: Processors that come with another part (the cores of a Jetson are on its die; a Raspberry Pi's
#: processor is left out: some hundred grams).
_INCLUDED = ("cortex-a78ae-12", "cortex-a72-4")
_KINDS = ("gpu", "cpu", "smartnic", "fpga")
_HEAD = """\
# embodied carbon of the catalogue's parts: their bills (configs/carbon/device) priced by ACT's fab
# (carbon/foundry: act); written by `python -m experiments.embodied_catalogue`
"""


def catalogue() -> dict[str, Any]:
    """The settings of `models.carbon.catalogue.EmbodiedCatalogue`."""
    names = sorted(name for kind in _KINDS for name in _names(f"hardware/{kind}"))
    return {
        "_target_": "models.carbon.catalogue.EmbodiedCatalogue",
        "level": "mid",
        "drives_tb": 3.84,
        "devices": {name: _priced(_ALIASES.get(name, name)) for name in names},
        "parts": {
            "dram": _priced("dram-gb"),
            "drives": _priced("ssd-tb"),
            "nic": _priced("nic-100g"),
            "host": _priced("host"),
        },
        "hosts": {"edge-orin": [2000.0, 5000.0, 10000.0, 189216000.0]},
        "source": {
            "devices": "bills of the same names, priced by foundry act; SmartNICs and FPGAs as a "
            "class; processors on the die of another part: 0",
            "parts": "bills dram-gb (a GB), ssd-tb (a TB), nic-100g, host",
            "hosts": "assumption: carrier board and case, written off over 6 years",
            "drives_tb": "assumption: two drives of 1.92 TB in a server",
        },
    }


def main() -> None:
    """Write the file."""
    import yaml

    path = Path(str(resources.files("configs"))) / "carbon" / "embodied" / "catalogue.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        _HEAD + yaml.safe_dump(catalogue(), sort_keys=False, default_flow_style=None, width=98)
    )
    print(path)


def _names(group: str) -> list[str]:
    folder = Path(str(resources.files("configs"))) / group
    return [path.stem for path in folder.glob("*.yaml")]


def _priced(bill: str) -> list[float]:
    from experiments.reproduce.papers.carbon.settings import part

    if bill in _INCLUDED:
        return [0.0, 0.0, 0.0, 126144000.0]
    device = part(f"carbon/device/{bill}")
    grams = device.grams(part("carbon/foundry/act"))
    return [*(round(value, 1) for value in (grams.low, grams.mid, grams.high)), device.life_s]


if __name__ == "__main__":
    main()
