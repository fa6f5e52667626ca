"""Reports of deliveries: every one kept, newest first, one tenant's own."""

from datetime import timedelta

from schema.names import Delivered
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

    def test_upkeep_forgets_old_lines_of_what_never_counted(self, empty_world: World) -> None:
        imports = empty_world.stores.imports
        for name in (ACME, BETA):
            empty_world.add(name)
            for state in (
                Delivered.ACCEPTED,
                Delivered.HELD,
                Delivered.DISCARDED,
                Delivered.RELEASED,
            ):
                imports.record(name, state, {"tables": []}, by="test", at=NOW, state=state)
            for n in range(5):
                state = (Delivered.REFUSED, Delivered.UNCHANGED)[n % 2]
                imports.record(name, f"{n}", {"tables": []}, by="test", at=NOW, state=state)

        assert imports.trim(ACME, keep=2) == 3
        assert imports.trim(ACME, keep=2) == 0

        kept = [one.batch for one in imports.deliveries(ACME, None)]
        assert kept == ["4", "3", "released", "discarded", "held", "accepted"]
        assert len(imports.deliveries(BETA, None)) == 9

    def test_tenants_never_meet(self, empty_world: World) -> None:
        for name in (ACME, BETA):
            empty_world.add(name)
            empty_world.stores.imports.record(name, "batch", {"of": name}, by="test", at=NOW)
        reports = empty_world.stores.imports.reports(ACME)
        assert [line["report"] for line in reports] == [{"of": ACME}]
