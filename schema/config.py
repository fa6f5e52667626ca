"""The shape of config.yaml, and the only place that reads it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, YamlConfigSettingsSource
from pydantic_settings import PydanticBaseSettingsSource as Source
from pydantic_settings.exceptions import SettingsError
from yaml import YAMLError

from schema.errors import Refused
from schema.names import Role
from schema.settings import TenantSettings
from schema.source import SourceDatabase

SHIPPED = Path(__file__).parent.parent / "config.yaml"

ACTOR = "RECFACTORY_ACTOR"
"""Who is behind a command that the server starts for somebody, for the audit trail."""

_NOT_KEYS = ("RECFACTORY_CONFIG", "RECFACTORY_LOG", ACTOR)
"""Variables that are not keys of the file: where it lies, how much the log says, who is behind it."""

_HERE = ("127.0.0.1", "::1", "localhost")


class _Part(BaseModel, extra="forbid", frozen=True):
    pass


class Ledger(_Part):
    url: SecretStr = SecretStr("")
    """SQLAlchemy URL; empty means SQLite in the home. Never printed."""


class Brake(_Part):
    """When a night of the whole fleet is stopped (jobs/brake.py)."""

    waves: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.01, 0.1)
    tenants: int = Field(10, ge=2)
    alike: float = Field(0.02, gt=0, le=1)
    own: float = Field(0.1, gt=0, le=1)
    empty: float = Field(0.1, gt=0, le=1)
    left: float = Field(0.5, gt=0, le=1)
    same_first: float = Field(0.9, gt=0, le=1)
    least_lists: int = Field(20, ge=1)


class RayCluster(_Part):
    """Where ``executor: ray`` finds its workers (docs/cluster.md)."""

    address: str = Field("auto", pattern=r"^(auto|[^/]+:\d+)$")
    workers: int = Field(0, ge=0)
    wait_minutes: float = Field(5, gt=0)


class SharedObjects(_Part):
    """Where machines share data, models and editions; nowhere while it has no address."""

    url: str = ""
    refresh_seconds: float = Field(5, gt=0)

    @model_validator(mode="after")
    def _whole(self) -> "SharedObjects":
        """Before anything is asked of it; the address stands in logs, so it bears no secret."""
        if not self.url:
            return self
        url = urlsplit(self.url)
        if "@" in url.netloc or url.password:
            raise ValueError("credentials come from the environment, never from the address")
        if url.scheme not in ("s3", "file"):
            raise ValueError("url must begin with s3:// or file:///")
        if url.scheme == "s3" and not url.netloc:
            raise ValueError("url must name a bucket, as s3://bucket/prefix")
        if url.scheme == "file" and (url.netloc or url.path in ("", "/")):
            raise ValueError("url must name a folder, as file:///mnt/recfactory")
        query = dict(parse_qsl(url.query))
        if unknown := sorted(query.keys() - _OPTIONS if url.scheme == "s3" else query):
            raise ValueError(f"url: {unknown[0]} is none of {', '.join(sorted(_OPTIONS))}")
        return self

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def base(self) -> str:
        """Bucket and prefix, or the folder."""
        url = urlsplit(self.url)
        return f"{url.netloc}{url.path}".rstrip("/")

    @property
    def options(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))


_OPTIONS = {"region", "endpoint_override", "scheme", "tls_ca_file_path"}


class Nightly(_Part):
    executor: Literal["processes", "in-process", "ray"] = "processes"
    processes: int = Field(0, ge=0)
    ray: RayCluster = RayCluster()
    tenant_minutes: float = Field(30, gt=0)
    tenant_bytes: int = Field(4 * 2**30, ge=2**28)
    attempts: int = Field(2, ge=1)
    spare_bytes: int = Field(2**29, ge=0)
    searches: int = Field(20, ge=0)
    wave_minutes: Literal[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30] = 15
    metrics_file: str = ""
    metrics_push: str = ""
    deadline_minutes: float = Field(0, ge=0)
    brake: Brake = Brake()


class Publishing(_Part):
    hold_hours: float = Field(36, gt=0)
    keep_editions: int = Field(4, ge=2)
    keep_models: int = Field(4, ge=2)


class Leaving(_Part):
    grace_days: float = Field(30, gt=0)
    most_a_day: int = Field(3, ge=1)


class Limits(_Part):
    key_per_second: float = Field(500, gt=0)
    key_burst: float = Field(1000, ge=1)
    tenant_per_second: float = Field(1000, gt=0)
    tenant_burst: float = Field(2000, ge=1)
    body_bytes: int = Field(2**20, ge=1)
    body_seconds: float = Field(10, gt=0)
    connections: int = Field(2000, ge=1)


class Serving(_Part):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    hosts: tuple[str, ...] = ()
    workers: int = Field(1, ge=1)
    refresh_seconds: float = Field(0.5, gt=0, le=60)
    open_tenants: int = Field(512, ge=1)
    stale_days: float = Field(3, gt=0)
    spool_bytes: int = Field(256 * 2**20, ge=0)
    log_lookups: bool = False
    limits: Limits = Limits()
    metrics_tenants: int = Field(200, ge=0)
    metrics_open: bool = False


class Deliveries(_Part):
    keep_days: float = Field(14, gt=0)
    settle_hours: float = Field(6, gt=0)
    waiting_bytes: int = Field(8 * 2**30, ge=1)
    waiting_files: int = Field(32, ge=1)
    bytes_per_second: int = Field(16 * 2**10, ge=1)
    imports: int = Field(2, ge=1)
    import_minutes: float = Field(60, gt=0)
    import_bytes: int = Field(6 * 2**30, ge=2**30)
    answer_seconds: float = Field(20, ge=0, le=20)


class Oidc(_Part):
    """A sign-in whose tokens are taken as well as API keys; off while it has no issuer."""

    issuer: str = ""
    audience: str = ""
    jwks_url: str = ""
    tenant_claim: str = "tenant"
    role_claim: str = "role"
    roles: Mapping[str, Role] = {}

    @model_validator(mode="after")
    def _whole(self) -> "Oidc":
        """Half a sign-in must not start: it would let in too many, or nobody."""
        rest = {"audience": self.audience, "jwks_url": self.jwks_url, "roles": self.roles}
        missing = [name for name, value in rest.items() if not value]
        if self.issuer and missing:
            raise ValueError(f"with an issuer, {' and '.join(missing)} must be set")
        if not self.issuer and len(missing) < len(rest):
            raise ValueError("nothing of it holds without an issuer")
        url = urlsplit(self.jwks_url)
        if self.issuer and url.scheme != "https" and url.hostname not in _HERE:
            raise ValueError("jwks_url must begin with https://, or anybody could be the issuer")
        return self


class Config(BaseSettings):
    """config.yaml, overruled by RECFACTORY_SERVING__PORT=8001 and the like."""

    model_config = SettingsConfigDict(
        env_prefix="RECFACTORY_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Path("var")
    pepper: SecretStr = SecretStr("")
    """The operator's secret, 64 hexadecimal digits; empty: a file in the home. Never printed."""
    ledger: Ledger = Ledger()
    objects: SharedObjects = SharedObjects()
    nightly: Nightly = Nightly()
    publishing: Publishing = Publishing()
    deliveries: Deliveries = Deliveries()
    leaving: Leaving = Leaving()
    serving: Serving = Serving()
    oidc: Oidc = Oidc()
    source: SourceDatabase = SourceDatabase()
    template: TenantSettings = TenantSettings()

    @model_validator(mode="after")
    def _names_no_client(self) -> "Config":
        """It would be every tenant's: all of them would get one client's data."""
        if self.template.source.client:
            raise ValueError("template.source.client must stay empty: it is each tenant's own")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:
        """Arguments, then environment, then the file. There is no .env."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, config_file())


def config_file() -> Path:
    """RECFACTORY_CONFIG, else config.yaml in the current folder, else the shipped one."""
    named = os.environ.get("RECFACTORY_CONFIG")
    if named:
        return Path(named)
    here = Path("config.yaml")
    return here if here.exists() else SHIPPED


def read_config() -> Config:
    """Read it once, in the door; paths come back absolute.

    Raises:
        Refused: the file is missing, or a key or value is not known; each is named.
    """
    file = config_file()
    if not file.is_file():
        why = "is not a file" if file.exists() else "does not exist"
        raise Refused(f"{file} {why}", "correct RECFACTORY_CONFIG or unset it", code="CONFIG")
    _refuse_unknown_variables()
    try:
        config = Config()
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise Refused(
            f"{file} or a RECFACTORY_… variable is wrong: {faults}",
            "compare with the comments in config.yaml",
            code="CONFIG",
        ) from error
    except (SettingsError, YAMLError, ValueError, TypeError) as error:
        raise Refused(
            f"{file} cannot be read: {error}", "write it as config.yaml shows", code="CONFIG"
        ) from error
    return config.model_copy(update={"home": config.home.absolute()})


def _refuse_unknown_variables() -> None:
    """A misspelt variable must not be overlooked; pydantic-settings only checks nested names."""
    prefix = "RECFACTORY_"
    for name in os.environ:
        key = name.removeprefix(prefix).split("__")[0].lower()
        if name.startswith(prefix) and key not in Config.model_fields and name not in _NOT_KEYS:
            raise Refused(
                f"the variable {name} overrules nothing: there is no key {key!r}",
                "compare with config.yaml",
                code="CONFIG",
            )
