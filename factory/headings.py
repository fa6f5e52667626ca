"""What people call the universal columns and words, in English, German, French, Italian and Spanish.

Only for proposals: nothing is mapped by these lists unless an admin has confirmed it.
"""

import re
import unicodedata

CUSTOMER = (
    "customer id", "customer number", "customer no", "customer key", "customer code", "client id",
    "client number", "account id", "account number", "account no", "member number", "member id",
    "user id", "buyer id", "partner id", "debtor", "debitor", "customer", "client", "account",
    "kundennummer", "kundennr", "kunden id", "kunde", "debitorennummer",
    "numero client", "no client", "num client", "code client", "id client", "cliente",
    "id cliente", "codice cliente", "numero cliente", "codigo cliente", "cod cliente",
)  # fmt: skip
PRODUCT = (
    "product id", "product number", "product no", "product key", "product code", "item id",
    "item number", "item no", "item code", "article number", "article id", "article no",
    "stock code", "sku", "product sku", "ean", "gtin", "isbn", "part number", "material",
    "product", "item", "article", "artikelnummer", "artikelnr", "artikel id",
    "artikel", "produktnummer", "produkt", "materialnummer", "numero article", "no article",
    "ref article", "reference", "code article", "code produit", "produit", "codice articolo",
    "articolo", "codice prodotto", "prodotto", "codigo articulo", "articulo", "codigo producto",
    "producto",
)  # fmt: skip
CATEGORY = (
    "category", "product category", "product group", "group", "series", "family", "department",
    "genre", "warengruppe", "produktgruppe", "artikelgruppe", "kategorie", "categorie",
    "groupe", "famille", "categoria", "gruppo", "famiglia", "familia", "grupo",
)  # fmt: skip
PRICE = (
    "price", "unit price", "list price", "sales price", "product price", "retail price", "preis",
    "einzelpreis", "stueckpreis", "listenpreis", "verkaufspreis", "prix", "prix unitaire",
    "prezzo", "prezzo unitario", "precio", "precio unitario",
)  # fmt: skip

HEADINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "customers": {
        "customer_id": CUSTOMER,
        "name": (
            "customer name", "client name", "account name", "company name", "company", "name",
            "account", "kundenname", "firma", "firmenname", "nom client", "nom", "raison sociale",
            "societe", "nome cliente", "ragione sociale", "nome", "nombre cliente", "nombre",
            "razon social", "empresa",
        ),
        "segment": (
            "segment", "sector", "industry", "customer type", "business type", "branch", "class",
            "branche", "kundengruppe", "kundentyp", "secteur", "type client", "settore",
            "tipo cliente", "occupation", "contract",
        ),
        "region": (
            "region", "sales region", "territory", "country", "state", "office location", "city",
            "gebiet", "land", "kanton", "ort", "pays", "ville", "regione", "paese", "citta",
            "pais", "ciudad",
        ),
    },
    "products": {
        "product_id": PRODUCT,
        "name": (
            "product name", "item name", "article name", "description", "product description",
            "title", "name", "product", "artikelbezeichnung", "bezeichnung", "artikelname",
            "produktname", "beschreibung", "designation", "libelle", "nom produit", "descrizione",
            "nome prodotto", "descripcion", "nombre producto",
        ),
        "category": CATEGORY,
        "price": PRICE,
        "cost": (
            "cost", "unit cost", "product cost", "purchase price", "buy price", "einstandspreis",
            "einkaufspreis", "kosten", "prix achat", "cout", "costo", "prezzo acquisto", "coste",
        ),
        "status": (
            "status", "product status", "discontinued", "active", "aktiv", "statut",
            "actif", "stato", "attivo", "estado", "activo",
        ),
    },
    "interactions": {
        "customer_id": CUSTOMER,
        "product_id": PRODUCT,
        "event": (
            "event", "event type", "action", "deal stage", "stage", "status", "order status",
            "type", "ereignis", "vorgang", "auftragsstatus", "evenement", "evento", "stato",
            "etape", "fase", "book rating",
        ),
        "quantity": (
            "quantity", "qty", "order quantity", "units", "pieces", "menge", "anzahl", "stueck",
            "stueckzahl", "quantite", "qte", "quantita", "qta", "cantidad", "cant",
        ),
        "value": (
            "value", "line value", "line total", "amount", "net amount", "total", "total price",
            "extended price", "sales", "sales amount", "revenue", "turnover", "close value",
            "rating", "betrag", "nettobetrag", "umsatz", "zeilenwert", "gesamtpreis", "montant",
            "montant ht", "chiffre affaires", "importo", "totale", "fatturato", "importe",
        ),
        "occurred_at": (
            "occurred at", "order date", "invoice date", "sale date", "purchase date",
            "transaction date", "close date", "date", "datetime", "timestamp", "time",
            "created at", "order time", "bestelldatum", "auftragsdatum", "rechnungsdatum",
            "belegdatum", "verkaufsdatum", "datum", "zeitpunkt", "date commande", "date facture",
            "data ordine", "data fattura", "data", "fecha", "fecha pedido", "fecha factura",
        ),
    },
}  # fmt: skip
"""Table -> universal column -> headings, the surest first."""

CURRENCY = (
    "currency", "currency code", "waehrung", "devise", "monnaie", "valuta", "moneda", "divisa",
)  # fmt: skip

SIGNS = ("$", "€", "£", "¥", "CHF", "EUR", "USD", "GBP", "SFr.", "Fr.")
"""Of money, longest first where one holds another: they are taken away before a number is read."""

WORDS: dict[str, dict[str, str]] = {
    "event": {
        "purchase": "purchase", "purchased": "purchase", "buy": "purchase", "bought": "purchase",
        "sale": "purchase", "sold": "purchase", "order": "purchase", "ordered": "purchase",
        "invoice": "purchase", "won": "purchase", "kauf": "purchase", "verkauf": "purchase",
        "rechnung": "purchase", "bestellung": "purchase", "achat": "purchase",
        "vente": "purchase", "commande": "purchase", "facture": "purchase",
        "acquisto": "purchase", "vendita": "purchase", "compra": "purchase", "venta": "purchase",
        "return": "return", "returned": "return", "refund": "return", "credit": "return",
        "retoure": "return", "gutschrift": "return", "retour": "return", "avoir": "return",
        "reso": "return", "devolucion": "return",
        "view": "view", "viewed": "view", "visit": "view", "quote": "view", "lost": "view",
        "angebot": "view", "offre": "view", "devis": "view", "offerta": "view", "oferta": "view",
        "click": "click", "add to cart": "add_to_cart", "cart": "add_to_cart",
        "warenkorb": "add_to_cart", "rating": "rating",
    },
    "status": {
        "sellable": "sellable", "active": "sellable", "available": "sellable",
        "aktiv": "sellable", "actif": "sellable", "attivo": "sellable", "activo": "sellable",
        "discontinued": "discontinued", "inactive": "discontinued", "obsolete": "discontinued",
        "inaktiv": "discontinued", "ausgelaufen": "discontinued", "inactif": "discontinued",
        "inattivo": "discontinued", "inactivo": "discontinued",
    },
}  # fmt: skip
"""Universal column -> what people write -> our word."""


def plain(heading: str) -> str:
    """A heading without what people write differently: case, accents, blanks and signs.

    >>> plain("Kunden-Nr."), plain("CustomerID"), plain("Quantité")
    ('kundennr', 'customerid', 'quantite')
    """
    spelt = heading.lower().replace("ä", "ae").replace("ö", "oe").replace("ü", "ue")
    bare = unicodedata.normalize("NFKD", spelt)
    return re.sub(r"[^a-z0-9]", "", bare)
