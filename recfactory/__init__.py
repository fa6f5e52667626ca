"""For programs that call a recfactory server: ``from recfactory.client import Client``."""
