"""The words of the fictional shop's releases: its services, its people, and what they worked on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ServiceProfile:
    """A service, whose it is, what its changes are about, and how often it changes beside the others."""

    name: str
    team: str
    area: str
    pace: float = 1.0


SERVICES: Final[Sequence[ServiceProfile]] = (
    ServiceProfile("accounts", "identity", "accounts"),
    ServiceProfile("cart", "checkout", "buying"),
    ServiceProfile("catalog", "discovery", "browsing", 1.2),
    ServiceProfile("checkout", "checkout", "buying", 1.3),
    ServiceProfile("email-sender", "platform", "messages", 0.6),
    ServiceProfile("image-resizer", "platform", "background", 0.5),
    ServiceProfile("inventory", "fulfilment", "goods"),
    ServiceProfile("payments", "checkout", "money"),
    ServiceProfile("recommendations", "discovery", "browsing", 1.1),
    ServiceProfile("search", "discovery", "browsing", 1.2),
    ServiceProfile("shipping", "fulfilment", "goods", 0.9),
    ServiceProfile("storefront", "storefront", "pages", 1.5),
)

PEOPLE: Final[Mapping[str, Sequence[str]]] = {
    "checkout": ("mara.lindqvist@example.com", "tomasz.wrona@example.com", "ifeoma.eze@example.com"),
    "discovery": ("ravi.menon@example.com", "clara.dubois@example.com"),
    "fulfilment": ("jonas.albrecht@example.com", "yuki.tanabe@example.com"),
    "identity": ("noor.haddad@example.com", "peter.novak@example.com"),
    "platform": ("sofia.marques@example.com", "liam.oconnor@example.com"),
    "storefront": ("anneke.visser@example.com", "diego.ferrer@example.com", "hana.kim@example.com"),
}

WORK: Final[Mapping[str, Sequence[str]]] = {
    "accounts": (
        "Let customers sign in with a passkey beside their password.",
        "Ask again for the password before an address is changed.",
        "Move sessions to the new store, and read the old ones until they expire.",
        "Answer password resets in the same time whether the address is known or not.",
        "Delete accounts 30 days after they were closed, with a job that can be stopped.",
        "Show where an account is signed in, and let single sessions be ended.",
        "Raise the cost of password hashes, and rehash at the next sign-in.",
    ),
    "background": (
        "Read WebP and AVIF, and write both beside JPEG.",
        "Take work from two queues, so that small images need not wait for large ones.",
        "Stop decoding images of more than 80 megapixels.",
        "Move to a base image without a shell.",
        "Keep the colour profile of product photographs.",
        "Halve the memory of a worker by reading images in strips.",
    ),
    "browsing": (
        "Rank products that are in stock before those that are not.",
        "Cache facets for a minute, which takes a third of the load off the database.",
        "Understand plurals and umlauts in German product names.",
        "Leave products out that cannot be sent to the customer's country.",
        "Return the 20 nearest products by the new embedding, behind a flag.",
        "Count clicks without cookies.",
        "Rebuild the index beside the old one, and switch at the end.",
        "Correct the number of hits when a filter is taken back.",
        "Drop the second query for variants, which made long lists slow.",
    ),
    "buying": (
        "Keep the cart for 30 days after the customer has signed out.",
        "Check vouchers once more at the moment of payment.",
        "Show the delivery date before the address is complete.",
        "Do not charge twice when the payment provider answers late.",
        "Split orders that come from two warehouses.",
        "Round taxes for each line, as the accountants asked for.",
        "Make the idempotency key part of every order.",
        "Say which field of an address is wrong, in the customer's language.",
        "Take gift cards and cards together for one order.",
    ),
    "goods": (
        "Reserve stock for 15 minutes while an order is paid.",
        "Print labels of the new carrier for parcels to Norway and Switzerland.",
        "Count returns back into stock only after they were looked at.",
        "Read the warehouse's nightly file in chunks, and go on where it stopped.",
        "Tell customers when a parcel waits at a pickup point.",
        "Stop selling below zero when two orders come at once.",
        "Compute parcel sizes from the products and not from the average.",
    ),
    "messages": (
        "Send the order confirmation only after the payment is certain.",
        "Retry on 4xx answers of the mail relay for up to a day.",
        "Put a plain text part into every message.",
        "Honour the language of the account in all templates.",
        "Take addresses that bounced twice off the newsletter.",
    ),
    "money": (
        "Ask for strong authentication above 30 euros, as the rules have it now.",
        "Write every change of a payment to the ledger before it is answered.",
        "Move refunds to the provider's new interface.",
        "Verify signatures of webhooks with both keys while they are changed.",
        "Time out the provider after eight seconds instead of thirty.",
        "Match settlements with orders by the new reference.",
        "Keep card numbers out of error messages of the provider's library.",
        "Support payment by instalments in Germany and Austria.",
    ),
    "pages": (
        "Load the product page without the carousel's script, which saves 140 KB.",
        "Let the menu be used with the keyboard alone.",
        "Show prices with and without tax for business customers.",
        "Render the front page on the edge, with prices filled in later.",
        "Replace the date picker, which screen readers could not use.",
        "Remember the chosen language beyond the session.",
        "Move the checkout into one page, for one customer in ten.",
        "Bring the contrast of buttons up to 4.5 to 1.",
        "Repair the layout of long product names on small screens.",
    ),
}

FIXES: Final[Mapping[str, Sequence[str]]] = {
    "failed": (
        "Not deployed: the pods did not become ready within ten minutes, and the old ones stayed.",
        "Not deployed: the migration could not take its lock while the nightly export ran.",
        "Not deployed: the registry answered with 503 while the image was pulled.",
        "Not deployed: a setting that the new version needs was missing in this environment.",
    ),
    "hotfix": (
        "Repair the error that customers with a voucher of 100 percent saw.",
        "Read old records again, whose currency is in lower case.",
        "Put back the index that the last migration had dropped.",
        "Close connections that a timeout left open, which used up the pool.",
        "Treat an empty answer of the carrier as no answer.",
        "Undo the change of the cache key, which mixed up languages.",
    ),
    "rollback": (
        "one request in forty was answered with an error.",
        "the 99th percentile rose from 180 to 900 milliseconds.",
        "orders of guests could not be completed.",
        "memory grew until pods were restarted every hour.",
    ),
}
