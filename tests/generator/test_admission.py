"""Which folders a run may search where people must say who they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.config import Settings
from runtime.generator.admission import documents_folder
from runtime.generator.problems import Refusal


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for folder in ("tenants/acme/deep", "tenants/umbra", "shared", "secret", "tenantsx"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tenants/acme/out").symlink_to(tmp_path / "tenants/umbra")
    return tmp_path


def searched(house: Path, asked: str, tenant: str = "acme") -> str | None:
    roots = (house / "tenants/{tenant}", house / "shared")
    settings = Settings(data_dir=house, model="offline", auth="keys", document_roots=roots)
    try:
        return documents_folder(str(house / asked), settings, tenant)
    except Refusal as refusal:
        return None if (refusal.status, refusal.code) == (422, "documents_not_found") else str(refusal)


@pytest.mark.parametrize("asked", ["tenants/acme", "tenants/acme/deep", "shared", "tenants/umbra/../acme"])
def test_own_and_shared_folders_may_be_searched(house: Path, asked: str) -> None:
    assert searched(house, asked) == str((house / asked).resolve())


@pytest.mark.parametrize(
    "asked",
    [
        "tenants/umbra",
        "tenants/acme/../umbra",
        "tenants/acme/out",
        "tenants",
        "secret",
        ".",
        "tenantsx",
        "tenants/nobody",
    ],
)
def test_others_folders_may_not_and_look_as_if_they_were_not_there(house: Path, asked: str) -> None:
    assert searched(house, asked) is None


@pytest.mark.parametrize("tenant", ["{tenant}", "acmex", "acm"])
def test_names_alike_are_others(house: Path, tenant: str) -> None:
    assert searched(house, "tenants/acme", tenant) is None


def test_without_roots_no_folder_may_be_named(house: Path) -> None:
    settings = Settings(data_dir=house, model="offline", auth="keys")
    with pytest.raises(Refusal):
        documents_folder(str(house / "shared"), settings, "acme")
