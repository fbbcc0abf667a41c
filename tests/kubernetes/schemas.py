"""The schemas of KubeRay's kinds, and what they say of a manifest.

`kuberay-1.7.0.json` holds the schemas of version v1 of RayCluster and RayJob from the custom resource definitions of
KubeRay 1.7.0 (`ray-operator/config/crd/bases` in the repository ray-project/kuberay), which are under the Apache
License 2.0, as this project is. They are trimmed: descriptions, defaults and rules in CEL are left out, and parts that
occur more than once stand under `$defs` once. `python -m tests.kubernetes.schemas VERSION CRD...` makes such a file of
the definitions of another version.

The rule here: what a schema does not name is an error, where an API server would drop it with a warning or without.
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

VERSION = "1.7.0"
_HERE = Path(__file__).parent
_DROPPED = {"default", "x-kubernetes-validations", "x-kubernetes-map-type", "x-kubernetes-list-type"}
_DROPPED |= {"x-kubernetes-list-map-keys"}
_WORTH_SHARING = 300


def schemas() -> dict[str, Any]:
    """The schemas by kind, beside the `$defs` that they share."""
    return json.loads((_HERE / f"kuberay-{VERSION}.json").read_text())


def faults(manifest: dict[str, Any]) -> list[str]:
    """What is wrong with a RayCluster or RayJob, each with its place. Raises KeyError for another kind."""
    known = schemas()
    return faults_by(known["kinds"][manifest["kind"]] | {"$defs": known["$defs"]}, manifest)


def faults_by(schema: dict[str, Any], value: Any) -> list[str]:
    """What a schema has against a value, each with its place."""
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)]


def definition(kind: str, *path: str) -> dict[str, Any]:
    """The schema of a field of a kind, by the names on the way to it; `[]` is any item of a list."""
    known = schemas()
    schema = known["kinds"][kind]
    for name in path:
        schema = schema["items"] if name == "[]" else schema["properties"][name]
        while "$ref" in schema:
            schema = known["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema | {"$defs": known["$defs"]}


def _trimmed(schema: Any) -> Any:
    """A structural schema of OpenAPI as a strict JSON schema, without what no validator here looks at."""
    match schema:
        case dict():
            kept = {key: value for key, value in schema.items() if key not in _DROPPED}
            # A property may be called as a keyword is; only a text is a description.
            if isinstance(kept.get("description"), str):
                del kept["description"]
            kept = {key: _trimmed(value) for key, value in kept.items()}
            open_ended = kept.pop("x-kubernetes-preserve-unknown-fields", False)
            if kept.pop("x-kubernetes-int-or-string", False):
                kept.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
            if isinstance(kept.get("properties"), dict) and "type" in kept and not open_ended:
                kept.setdefault("additionalProperties", False)
            return kept
        case list():
            return [_trimmed(value) for value in schema]
        case _:
            return schema


def _key(schema: Any) -> str:
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:12]


def _counted(schema: Any, counts: Counter[str]) -> None:
    if isinstance(schema, dict):
        if len(json.dumps(schema)) >= _WORTH_SHARING and isinstance(schema.get("type"), str):
            counts[_key(schema)] += 1
        for value in schema.values():
            _counted(value, counts)


def _shared(schema: Any, counts: Counter[str], defs: dict[str, Any]) -> Any:
    if not isinstance(schema, dict):
        return schema
    key = _key(schema)
    inner = {name: _shared(value, counts, defs) for name, value in schema.items()}
    if counts[key] < 2:
        return inner
    defs[key] = inner
    return {"$ref": f"#/$defs/{key}"}


def write(version: str, definitions: list[Path]) -> Path:
    """Make the file of a version from its custom resource definitions, as YAML. Returns its path."""
    kinds: dict[str, Any] = {}
    for path in definitions:
        crd = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        (chosen,) = [each for each in crd["spec"]["versions"] if each["name"] == "v1"]
        kinds[crd["spec"]["names"]["kind"]] = _trimmed(chosen["schema"]["openAPIV3Schema"])
    counts = Counter[str]()
    for schema in kinds.values():
        _counted(schema, counts)
    defs: dict[str, Any] = {}
    shared = {kind: _shared(schema, counts, defs) for kind, schema in kinds.items()}
    comment = f"Trimmed from the custom resource definitions of KubeRay {version} (Apache License 2.0): see schemas.py."
    made = {"$comment": comment, "license": "Apache-2.0", "kinds": shared, "$defs": defs}
    into = _HERE / f"kuberay-{version}.json"
    lines = [f"{json.dumps(name)}: {_listed(value)}" for name, value in made.items()]
    into.write_text("{" + ",\n".join(lines) + "}\n")
    return into


def _listed(value: Any) -> str:
    """As JSON; of an object, each member on a line."""
    if not isinstance(value, dict):
        return json.dumps(value)
    dumped = (f"{json.dumps(name)}: {json.dumps(inner, sort_keys=True)}" for name, inner in sorted(value.items()))
    return "{\n" + ",\n".join(dumped) + "\n}"


if __name__ == "__main__":
    print(write(sys.argv[1], [Path(name) for name in sys.argv[2:]]))
