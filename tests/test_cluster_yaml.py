"""cluster.yaml is one that Ray's launcher takes, and keeps to what the records decide."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from actors.environment import DEFAULTS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text("utf-8")
CLUSTER: dict[str, Any] = yaml.safe_load(TEXT)


def schema() -> dict[str, Any]:
    """Ray's own schema, found without importing Ray."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    found: dict[str, Any] = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text("utf-8"))
    return found


def test_cluster_file_fits_rays_schema() -> None:
    jsonschema.validate(CLUSTER, schema())


def test_schema_refuses_names_of_old_examples() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**CLUSTER, "head_node": {}}, schema())


def test_image_is_pinned_to_the_release_of_the_dependencies() -> None:
    pinned = re.search(r'"ray\[serve\]==(\d+\.\d+)\.\*"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert pinned is not None
    assert re.fullmatch(rf"rayproject/ray:{re.escape(pinned[1])}\.\d+-py311", CLUSTER["docker"]["image"])


def test_ray_is_given_the_same_environment_as_by_serve() -> None:
    commands = " ".join(CLUSTER["setup_commands"])
    for name, value in DEFAULTS.items():
        if not name.startswith("RAY_SERVE_") or name.endswith("_CALLBACK_IMPORT_PATH"):
            assert f"{name}={value}" in commands, name


def test_dashboard_is_on_loopback_and_nothing_is_bound_to_all_addresses() -> None:
    assert any("--dashboard-host=127.0.0.1" in command for command in CLUSTER["head_start_ray_commands"])
    assert "0.0.0.0" not in json.dumps(CLUSTER)
    for commands in (CLUSTER["head_start_ray_commands"], CLUSTER["worker_start_ray_commands"]):
        assert all("ray start" not in command or "source ~/ray.env" in command for command in commands)
