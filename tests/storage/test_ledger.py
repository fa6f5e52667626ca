"""Tenants, modes, keys and the audit trail."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schema.errors import NotThere, Refused
from schema.names import Action, Mode, ProductId, Role, TenantId
from schema.records import Rule
from tenants.access import make_key, successor
from tests.world import ACME, BETA, NOW, World


@pytest.fixture
def two(empty_world: World) -> World:
    """acme and beta, without data."""
    empty_world.add(ACME, "Europe/Zurich")
    empty_world.add(BETA)
    return empty_world


class TestTenants:
    def test_a_new_tenant_is_on_with_the_templates_settings_and_no_model(self, two: World) -> None:
        tenant = two.tenant(ACME)
        assert (tenant.mode, tenant.changes, tenant.model) == (Mode.ON, {}, None)
        assert (tenant.timezone, tenant.held_until) == ("Europe/Zurich", None)

    def test_a_name_is_given_once(self, two: World) -> None:
        with pytest.raises(Refused) as refused:
            two.stores.ledger.register(ACME, "t-x", "Another", "UTC", by="test", at=NOW)
        assert refused.value.code == "TENANT_EXISTS"
        assert two.tenant(ACME).title == "acme Ltd"

    def test_a_folder_is_given_once(self, two: World) -> None:
        uid = two.tenant(ACME).uid
        with pytest.raises(Refused):
            two.stores.ledger.register(TenantId("new"), uid, "New", "UTC", by="test", at=NOW)

    def test_an_unknown_one_is_not_there(self, two: World) -> None:
        with pytest.raises(NotThere) as told:
            two.stores.ledger.tenant("nobody")
        assert told.value.code == "NO_TENANT"

    def test_all_of_them_by_name(self, two: World) -> None:
        assert [tenant.tenant for tenant in two.stores.ledger.tenants()] == [ACME, BETA]


class TestMode:
    def test_a_switch_says_what_it_was_and_is_kept(self, two: World) -> None:
        ledger = two.stores.ledger
        was = ledger.change_mode(ACME, Mode.FREEZE, by="ann", why="stocktaking", at=NOW)
        assert was == (Mode.ON, Mode.FREEZE)
        assert two.tenant(ACME).mode is Mode.FREEZE

    def test_the_other_tenant_keeps_its_own(self, two: World) -> None:
        two.switch(ACME, Mode.OFF)
        assert two.tenant(BETA).mode is Mode.ON

    def test_an_unknown_tenant_cannot_be_switched(self, two: World) -> None:
        with pytest.raises(NotThere):
            two.switch(TenantId("nobody"), Mode.OFF)


class TestSettings:
    def test_changes_are_kept_and_the_other_tenant_has_none(self, two: World) -> None:
        two.stores.ledger.change_settings(ACME, {"als.factors": 64}, by="ann", at=NOW)
        assert two.tenant(ACME).changes == {"als.factors": 64}
        assert two.tenant(BETA).changes == {}


class TestMapping:
    def test_is_empty_until_something_is_declared(self, two: World) -> None:
        assert two.tenant(ACME).mapping == {}

    def test_is_kept_and_the_other_tenant_has_none(self, two: World) -> None:
        body = {"currency": "EUR"}
        two.stores.ledger.change_mapping(ACME, body, by="ann", why="first", at=NOW)
        assert two.tenant(ACME).mapping == body
        assert two.tenant(BETA).mapping == {}
        assert two.stores.ledger.control().tenants[ACME].mapping == body

    def test_leaves_what_it_was_in_the_audit_trail(self, two: World) -> None:
        for currency in ("EUR", "CHF"):
            body = {"currency": currency}
            two.stores.ledger.change_mapping(ACME, body, by="ann", why="why", at=NOW)
        line = two.stores.audit.of(ACME)[0]
        assert (line.act, line.actor) == ("mapping", "ann")
        assert line.detail == {
            "was": {"currency": "EUR"},
            "mapping": {"currency": "CHF"},
            "why": "why",
        }


class TestKeys:
    def test_a_key_comes_back_whole_without_its_secret(self, two: World) -> None:
        secret = two.key(ACME, Role.ADMIN)
        (key,) = two.stores.ledger.keys(ACME)
        assert (key.tenant, key.role, key.revoked_at) == (ACME, Role.ADMIN, None)
        assert secret.partition(".")[2] not in repr(key)

    def test_a_tenants_keys_are_its_own_and_an_operators_belong_to_none(self, two: World) -> None:
        for tenant, role in ((ACME, Role.SELLER), (BETA, Role.SELLER), (None, Role.OPERATOR)):
            two.key(tenant, role)
        ledger = two.stores.ledger
        assert [key.tenant for key in ledger.keys(ACME)] == [ACME]
        assert {key.tenant for key in ledger.keys(None)} == {ACME, BETA, None}

    def test_a_revoked_key_says_since_when(self, two: World) -> None:
        two.key(ACME)
        (key,) = two.stores.ledger.keys(ACME)
        two.stores.ledger.revoke_key(key.key_id, by="ann", at=NOW)
        assert two.stores.ledger.keys(ACME)[0].revoked_at == NOW

    def test_an_unknown_key_is_not_there(self, two: World) -> None:
        with pytest.raises(NotThere) as told:
            two.stores.ledger.revoke_key("404", by="ann", at=NOW)
        assert told.value.code == "NO_SUCH_KEY"

    def test_a_key_revoked_again_stays_as_it_was(self, two: World) -> None:
        two.key(ACME)
        ledger = two.stores.ledger
        (key,) = ledger.keys(ACME)
        ledger.revoke_key(key.key_id, by="ann", at=NOW)
        before = ledger.key(key.key_id), two.stores.audit.of(ACME)

        ledger.revoke_key(key.key_id, by="bob", at=NOW + timedelta(days=1))

        assert (ledger.key(key.key_id), two.stores.audit.of(ACME)) == before

    def test_a_rotated_key_ends_after_the_overlap_and_another_takes_its_place(
        self, two: World
    ) -> None:
        two.key(ACME)
        ledger, until = two.stores.ledger, NOW + timedelta(hours=24)
        (key,) = ledger.keys(ACME)
        new, _ = successor(key, two.stores.pepper, at=NOW)

        assert ledger.rotate_key(key.key_id, new, until, by="ann") == replace(key, expires_at=until)

        assert ledger.key(new.key_id) == new
        assert (new.tenant, new.role, new.label) == (key.tenant, key.role, key.label)
        assert two.stores.audit.of(ACME)[0].detail == {
            "key": key.key_id, "by": new.key_id, "until": until.isoformat(),
        }  # fmt: skip

    def test_no_rotation_makes_a_key_last_longer(self, two: World) -> None:
        ledger, ends = two.stores.ledger, NOW + timedelta(hours=1)
        key, _ = make_key(ACME, Role.SELLER, "", two.stores.pepper, at=NOW, expires_at=ends)
        ledger.add_key(key, by="ann")
        new, _ = successor(key, two.stores.pepper, at=NOW)

        old = ledger.rotate_key(key.key_id, new, NOW + timedelta(hours=24), by="ann")

        assert old.expires_at == ends

    @pytest.mark.parametrize("ended", ["revoked", "expired"])
    def test_a_key_that_has_ended_is_not_rotated(self, ended: str, two: World) -> None:
        ledger, later = two.stores.ledger, NOW + timedelta(hours=1)
        ends = later if ended == "expired" else None
        key, _ = make_key(ACME, Role.SELLER, "", two.stores.pepper, at=NOW, expires_at=ends)
        ledger.add_key(key, by="ann")
        if ended == "revoked":
            ledger.revoke_key(key.key_id, by="ann", at=NOW)
        new, _ = successor(key, two.stores.pepper, at=later)

        with pytest.raises(Refused) as told:
            ledger.rotate_key(key.key_id, new, later, by="ann")

        assert told.value.code == "KEY_ENDED"
        assert [kept.key_id for kept in ledger.keys(ACME)] == [key.key_id]

    def test_the_latest_use_is_kept_whoever_tells_it_and_nobody_has_to_notice(
        self, two: World
    ) -> None:
        for name in (ACME, BETA):
            two.key(name)
        ledger, later = two.stores.ledger, NOW + timedelta(minutes=1)
        (key,), (other,) = ledger.keys(ACME), ledger.keys(BETA)
        before = ledger.revision()

        ledger.note_uses({key.key_id: later, other.key_id: NOW})
        ledger.note_uses({key.key_id: NOW, other.key_id: later})

        assert [ledger.key(each.key_id).last_used_at for each in (key, other)] == [later, later]
        assert ledger.revision() == before

    def test_a_key_of_an_unknown_tenant_is_not_made(self, two: World) -> None:
        with pytest.raises(NotThere):
            two.key(TenantId("nobody"))


def rule(number: int = 0, product: str = "P-1", until: datetime | None = None) -> Rule:
    action = Action.EXCLUDE
    return Rule(number, action, ProductId(product), None, None, "recall", "ann", NOW, until)


class TestRules:
    def test_are_numbered_within_their_tenant_and_come_back_whole(self, two: World) -> None:
        ledger, ends = two.stores.ledger, NOW + timedelta(days=1)
        boost = replace(
            rule(), action=Action.BOOST, product=None, category="Stout", value=2.5, expires_at=ends
        )
        assert ledger.add_rule(ACME, rule(), at=NOW) == rule(1)
        assert ledger.add_rule(ACME, boost, at=NOW) == replace(boost, number=2)
        assert ledger.add_rule(BETA, rule(), at=NOW).number == 1

        assert two.tenant(ACME).rules == (rule(1), replace(boost, number=2))
        assert [len(tenant.rules) for tenant in ledger.tenants()] == [2, 1]

    def test_removed_are_gone_and_their_number_is_never_given_again(self, two: World) -> None:
        ledger = two.stores.ledger
        ledger.add_rule(ACME, rule(), at=NOW)
        ledger.add_rule(BETA, rule(), at=NOW)

        assert ledger.remove_rule(ACME, 1, by="ann", at=NOW) == rule(1)

        assert two.tenant(ACME).rules == ()
        assert two.tenant(BETA).rules == (rule(1),)
        assert ledger.add_rule(ACME, rule(), at=NOW).number == 2

    @pytest.mark.parametrize("number", [-1, 0, 2, 10**9])
    def test_that_there_are_not_cannot_be_removed(self, number: int, two: World) -> None:
        two.stores.ledger.add_rule(ACME, rule(), at=NOW)
        two.stores.ledger.add_rule(BETA, rule(), at=NOW)
        two.stores.ledger.add_rule(BETA, rule(product="P-2"), at=NOW)
        with pytest.raises(NotThere) as told:
            two.stores.ledger.remove_rule(ACME, number, by="ann", at=NOW)
        assert told.value.code == "NO_RULE"
        assert len(two.tenant(BETA).rules) == 2

    def test_that_say_the_same_are_refused_and_leave_no_trace(self, two: World) -> None:
        two.stores.ledger.add_rule(ACME, rule(), at=NOW)
        audit = two.stores.audit.of(ACME)
        with pytest.raises(Refused):
            two.stores.ledger.add_rule(ACME, rule(), at=NOW)
        assert two.tenant(ACME).rules == (rule(1),)
        assert two.stores.audit.of(ACME) == audit

    def test_are_in_the_audit_trail_with_who_what_and_why(self, two: World) -> None:
        two.stores.ledger.add_rule(ACME, rule(), at=NOW)
        two.stores.ledger.remove_rule(ACME, 1, by="bob", at=NOW)
        removed, added, _ = two.stores.audit.of(ACME)
        assert (removed.act, removed.actor, removed.detail) == (
            "rule removed",
            "bob",
            {"rule": 1},
        )
        assert (added.act, added.actor) == ("rule added", "ann")
        assert added.detail["product"] == "P-1"
        assert added.detail["why"] == "recall"

    def test_reach_what_serving_knows(self, two: World) -> None:
        before = two.stores.ledger.control()
        two.stores.ledger.add_rule(ACME, rule(), at=NOW)
        control = two.stores.ledger.control()
        assert control.revision > before.revision
        assert control.tenants[ACME].rules == (rule(1),)
        assert control.tenants[BETA].rules == ()


class TestAudit:
    def test_every_act_is_noted_with_who_when_and_why_newest_first(self, two: World) -> None:
        later = NOW + timedelta(hours=1)
        two.stores.ledger.change_mode(ACME, Mode.OFF, by="ann", why="moving", at=later)
        newest, first = two.stores.audit.of(ACME)
        assert first.act == "register"
        assert (newest.at, newest.actor, newest.act) == (later, "ann", "mode")
        assert newest.detail == {"was": "on", "mode": "off", "why": "moving"}

    def test_a_tenant_sees_only_what_was_done_to_it(self, two: World) -> None:
        two.switch(BETA, Mode.OFF)
        assert [line.act for line in two.stores.audit.of(ACME)] == ["register"]

    def test_what_was_refused_is_not_noted(self, two: World) -> None:
        before = len(two.stores.audit.of(ACME))
        with pytest.raises(Refused):
            two.stores.ledger.register(ACME, "t-x", "Another", "UTC", by="test", at=NOW)
        assert len(two.stores.audit.of(ACME)) == before


class TestRevision:
    def test_grows_with_everything_serving_has_to_notice(self, two: World) -> None:
        ledger = two.stores.ledger
        seen = [ledger.revision()]
        for change in (
            lambda: two.switch(ACME, Mode.FREEZE),
            lambda: two.key(ACME),
            lambda: ledger.revoke_key(ledger.keys(ACME)[0].key_id, by="ann", at=NOW),
            lambda: ledger.change_settings(ACME, {"seed": 1}, by="ann", at=NOW),
            lambda: two.add(TenantId("gamma")),
            lambda: ledger.add_rule(ACME, rule(), at=NOW),
            lambda: ledger.remove_rule(ACME, 1, by="ann", at=NOW),
        ):
            change()
            seen.append(ledger.revision())
        assert seen == sorted(set(seen))

    def test_control_is_of_one_moment(self, two: World) -> None:
        two.key(ACME)
        control = two.stores.ledger.control()
        assert control.revision == two.stores.ledger.revision()
        assert set(control.tenants) == {ACME, BETA}
        assert [key.tenant for key in control.keys.values()] == [ACME]


class TestInstants:
    def test_come_back_aware_and_in_utc_whatever_zone_they_came_in(self, two: World) -> None:
        local = datetime(2026, 4, 1, 2, tzinfo=UTC).astimezone()
        two.stores.ledger.change_mode(ACME, Mode.OFF, by="ann", why="", at=local)
        at = two.stores.audit.of(ACME)[0].at
        assert at == local
        assert at.utcoffset() == timedelta(0)
