"""Where the two source folders go: `npcbnet/` as itself, `kernels/` as `npcbnet.kernels`.

A top-level package called `kernels` could overwrite another project's files, so the hot loops are installed inside ours.
Everything else about the package (name, version, dependencies) is in pyproject.toml.
"""
from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["npcbnet", "npcbnet.*"]) + ["npcbnet.kernels", "npcbnet.pretrained"],
    package_dir={"npcbnet.kernels": "kernels"},
    package_data={"npcbnet.pretrained": ["*.npz"], "npcbnet.kernels": ["README.md"],
                  "npcbnet.runtime": ["README.md"], "npcbnet.evaluate.page": ["page.css"]},
    exclude_package_data={"npcbnet": ["kernels.pyi"]},
)
