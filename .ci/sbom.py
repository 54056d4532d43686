"""Writes the bill of materials of a package: the crates that it depends on, by `cargo metadata` on the standard input, to be
compiled into it or to build it. Fails if one has no licence, or comes from a registry without a checksum, and if the bill
does not fit its schema.

    sbom.py PACKAGE CARGO.LOCK OUT
"""

import json
import sys
import tomllib

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot5
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

root, lock, out = sys.argv[1:]
metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
edges = {
    node["id"]: [
        dependency["pkg"]
        for dependency in node["deps"]
        if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
    ]
    for node in metadata["resolve"]["nodes"]
}
with open(lock, "rb") as file:
    checksums = {(of["name"], of["version"]): of.get("checksum") for of in tomllib.load(file)["package"]}

faults = []


def component(package):
    name, version = package["name"], package["version"]
    # Before expressions were in use, a slash stood for OR.
    licence = (package["license"] or "").replace("/", " OR ")
    if not licence:
        faults.append(f"{name} {version} has no licence")
    checksum = checksums.get((name, version))
    if package["source"] and not checksum:
        faults.append(f"{name} {version} has no checksum")
    purl = PackageURL("cargo", None, name, version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION if name == root else ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
    )


needed = {}
left = [id for id, package in packages.items() if package["name"] == root]
while left:
    id = left.pop()
    if id not in needed:
        needed[id] = component(packages[id])
        left += edges[id]

bill = Bom()
for id, of in needed.items():
    if of.name == root:
        bill.metadata.component = of
    else:
        bill.components.add(of)
    bill.register_dependency(of, [needed[dependency] for dependency in edges[id]])
text = JsonV1Dot5(bill).output_as_string(indent=1)
if error := JsonStrictValidator(SchemaVersion.V1_5).validate_str(text):
    faults.append(f"the bill does not fit its schema: {error}")
for fault in faults:
    print(f"sbom: {fault}", file=sys.stderr)
if faults:
    sys.exit(1)
with open(out, "w") as file:
    file.write(text)
print(f"sbom of {root}: {len(needed)} crates, {out}")
