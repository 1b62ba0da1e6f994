from cronos_git.manager import BackupManager as BackupManager
from cronos_git.service.worker import CronosService as CronosService

__version__: str
