"""What the process is told by its environment, besides the settings of a policy."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """``TUNNELGATE_CONFIG`` names the configuration where no option can."""

    model_config = SettingsConfigDict(env_prefix="TUNNELGATE_", extra="ignore")

    config: Path = Path("tunnelgate.yaml")
