"""Reports of deliveries: every one kept, newest first, one tenant's own."""

from datetime import timedelta

from tests.world import ACME, BETA, NOW, World


class TestImports:
    def test_every_delivery_is_kept_newest_first(self, empty_world: World) -> None:
        empty_world.add(ACME)
        imports = empty_world.stores.imports
        for n in range(3):
            imports.record(ACME, "same batch", {"n": n}, by="test", at=NOW + timedelta(hours=n))
        assert [line["report"]["n"] for line in imports.reports(ACME)] == [2, 1, 0]
        assert [line["report"]["n"] for line in imports.reports(ACME, limit=1)] == [2]
        assert imports.reports(ACME)[-1]["imported_at"] == NOW

    def test_tenants_never_meet(self, empty_world: World) -> None:
        for name in (ACME, BETA):
            empty_world.add(name)
            empty_world.stores.imports.record(name, "batch", {"of": name}, by="test", at=NOW)
        reports = empty_world.stores.imports.reports(ACME)
        assert [line["report"] for line in reports] == [{"of": ACME}]
