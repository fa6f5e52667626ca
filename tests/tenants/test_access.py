from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.names import Role, TenantId
from schema.records import Caller, Key
from tenants.access import holder, make_key, mistyped, sees, successor

PEPPER = b"p" * 32
NOW = datetime(2026, 4, 1, 8, tzinfo=UTC)
ACME, BETA = TenantId("acme"), TenantId("beta")


def made(
    tenant: TenantId | None = ACME, role: Role = Role.SELLER, expires_at: datetime | None = None
) -> tuple[Key, str]:
    return make_key(tenant, role, "call centre", PEPPER, at=NOW, expires_at=expires_at)


def asked(presented: str, *keys: Key, now: datetime = NOW, pepper: bytes = PEPPER) -> Key | None:
    return holder(presented, {key.key_id: key for key in keys}, pepper, now=now)


class TestAKey:
    def test_opens_what_it_was_made_for(self) -> None:
        key, shown = made()

        assert asked(shown, key) == key
        assert (key.tenant, key.role, key.label) == (ACME, Role.SELLER, "call centre")

    def test_is_shown_as_rf_id_dot_secret(self) -> None:
        key, shown = made()

        name, _, secret = shown.partition(".")
        assert name == f"rf_{key.key_id}"
        assert len(secret) >= 43  # 256 bits in base 64

    def test_is_kept_without_its_secret(self) -> None:
        key, shown = made()

        secret = shown.partition(".")[2]
        kept = str(asdict(key))
        assert secret not in kept
        assert shown not in kept

    def test_is_another_one_each_time(self) -> None:
        keys = [made() for _ in range(20)]

        assert len({key.key_id for key, _ in keys}) == 20
        assert len({shown for _, shown in keys}) == 20
        assert len({key.digest for key, _ in keys}) == 20

    @pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR])
    def test_of_an_operator_or_auditor_has_no_tenant(self, role: Role) -> None:
        assert made(None, role)[0].tenant is None
        with pytest.raises(ValueError, match="operator"):
            made(ACME, role)

    @pytest.mark.parametrize("role", [Role.SELLER, Role.ADMIN])
    def test_of_anybody_else_has_one(self, role: Role) -> None:
        with pytest.raises(ValueError, match="operator"):
            made(None, role)

    def test_ends_in_a_checksum_by_which_a_slip_of_the_pen_shows(self) -> None:
        _, shown = made()

        assert not mistyped(shown)
        for place in (4, 20, len(shown) - 1):
            other = "A" if shown[place] != "A" else "B"
            assert mistyped(shown[:place] + other + shown[place + 1 :])
        assert mistyped(shown[:-1])
        assert mistyped("")

    def test_is_followed_by_one_that_is_as_it_was_and_lasts_as_long(self) -> None:
        for lasts in (None, timedelta(days=30)):
            old, shown = made(BETA, Role.ADMIN, None if lasts is None else NOW + lasts)
            later = NOW + timedelta(days=29)

            new, other = successor(old, PEPPER, at=later)

            assert (new.tenant, new.role, new.label) == (old.tenant, old.role, old.label)
            assert new.expires_at == (None if lasts is None else later + lasts)
            assert new.key_id != old.key_id
            assert other != shown


class TestNobodyIsBehind:
    def test_an_unknown_key(self) -> None:
        assert asked(made()[1]) is None

    def test_a_known_id_with_a_wrong_secret(self) -> None:
        key, shown = made()

        assert asked(shown[:-1] + ("A" if shown[-1] != "A" else "B"), key) is None
        assert asked(f"rf_{key.key_id}.", key) is None
        assert asked(f"rf_{key.key_id}", key) is None

    def test_the_secret_of_another_key(self) -> None:
        mine, other = made(), made(BETA)

        stolen = f"rf_{mine[0].key_id}.{other[1].partition('.')[2]}"

        assert asked(stolen, mine[0], other[0]) is None

    def test_the_digest_that_a_copied_ledger_shows(self) -> None:
        key, _ = made()

        assert asked(f"rf_{key.key_id}.{key.digest}", key) is None

    def test_a_key_made_under_another_installations_pepper(self) -> None:
        key, shown = made()

        assert asked(shown, key, pepper=b"q" * 32) is None

    def test_a_key_without_its_prefix(self) -> None:
        key, shown = made()

        assert asked(shown.removeprefix("rf_"), key) is None

    def test_a_revoked_key(self) -> None:
        key, shown = made()

        assert asked(shown, replace(key, revoked_at=NOW)) is None

    def test_an_expired_key_from_the_very_instant_it_ends(self) -> None:
        ends = NOW + timedelta(days=1)
        key, shown = made(expires_at=ends)

        assert asked(shown, key, now=ends - timedelta(microseconds=1)) == key
        assert asked(shown, key, now=ends) is None

    @given(presented=st.one_of(st.text(), st.text().map("rf_{}".format)))
    def test_whatever_else_is_presented(self, presented: str) -> None:
        assert asked(presented, KNOWN) is None

    @given(rest=st.text(st.characters(), max_size=50))
    def test_a_known_id_with_any_text_for_a_secret(self, rest: str) -> None:
        assert asked(f"rf_{KNOWN.key_id}.{rest}", KNOWN) is None

    def test_an_empty_secret_even_where_a_key_without_digest_was_kept(self) -> None:
        unknown = "rf_0123456789ab."

        assert asked(unknown, replace(KNOWN, key_id="0123456789ab", digest="0" * 64)) is None


KNOWN = made()[0]


class TestATenant:
    def test_exists_for_its_own_keys_only(self) -> None:
        caller = Caller("key 0a", ACME, Role.ADMIN)

        assert sees(caller, "acme")
        assert not sees(caller, "beta")
        assert not sees(caller, "acme2")
        assert not sees(caller, "")

    @pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR])
    def test_exists_for_every_operator_and_auditor(self, role: Role) -> None:
        caller = Caller("key 0b", None, role)

        assert sees(caller, "acme")
        assert sees(caller, "beta")
