"""When certificates end, and what to say about it in time."""

from datetime import datetime, timedelta

from tunnelgate_app.certificates.reading import CertificateFacts, UnreadableError, read_certificates

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_STAGES = ((1, "now"), (7, "within days"), (14, "soon"), (30, ""))


def expiry_warnings(pem: bytes, name: str, now: datetime) -> tuple[str, ...]:
    """Return a sentence for each certificate in ``pem`` that has ended, ends soon or has not begun.

    The sentences begin with ``name``, the file's, and grow more urgent 30, 14, 7 and 1 days before
    the end. Certificates that live for less than 90 days are warned about in the last third of it.
    Content that cannot be read is one sentence too.
    """
    try:
        certificates = read_certificates(pem)
    except UnreadableError as error:
        return (f"{name} {error}",)
    return tuple(filter(None, (_warning(each, name, now) for each in certificates)))


def warning_time(certificate: CertificateFacts) -> timedelta:
    """Return how long before the end of ``certificate`` the warnings begin."""
    return min(_STAGES[-1][0] * _DAY, (certificate.valid_until - certificate.valid_from) / 3)


def moment(time: datetime) -> str:
    """Return ``time``, which is in UTC, as it is shown to people."""
    return time.strftime("%Y-%m-%d %H:%M UTC")


def span(length: timedelta) -> str:
    """Return a length of time as people say it, in days or, where it is less than two, in hours."""
    if length >= 2 * _DAY:
        return f"{length // _DAY} days"
    return "less than 2 hours" if length < 2 * _HOUR else f"{length // _HOUR} hours"


def _warning(certificate: CertificateFacts, name: str, now: datetime) -> str:
    if now < certificate.valid_from:
        return f"{name} is valid only from {moment(certificate.valid_from)}. Check the clock of this machine."
    left = certificate.valid_until - now
    if left >= warning_time(certificate):
        return ""
    end = moment(certificate.valid_until)
    if left < timedelta(0):
        return f"{name} expired {span(-left)} ago, at {end}. {_remedy(certificate, 'now')}"
    when = next(word for days, word in _STAGES if left <= days * _DAY)
    return f"{name} expires in {span(left)}, at {end}. {_remedy(certificate, when)}"


def _remedy(certificate: CertificateFacts, when: str) -> str:
    what, command = ("Replace the CA", "rotate-ca") if certificate.is_authority else ("Renew it", "renew")
    return f"{' '.join(filter(None, (what, when)))}: tunnelgate certs {command}"
