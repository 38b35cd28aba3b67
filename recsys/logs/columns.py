"""The columns of a log: which of a file's are read, and which look as if they should be."""

import re
from collections.abc import Collection, Mapping, Sequence

from recsys.base.errors import DataError, briefly, did_you_mean
from recsys.settings import LogSettings

NAMES: Mapping[str, tuple[str, ...]] = {
    "user_id": (
        *("userid", "user", "uid", "useridx", "customerid", "customer", "customerno", "custid"),
        *("visitorid", "visitor", "fullvisitorid", "clientid", "client", "memberid", "member"),
        *("personid", "person", "reviewerid", "reviewer", "buyerid", "buyer", "shopperid"),
        *("householdkey", "householdid", "household", "accountid", "account", "profileid"),
        *("subscriberid", "listenerid", "listener", "readerid", "reader", "viewerid", "viewer"),
        *("playerid", "player", "learnerid", "studentid", "steamid", "useruuid", "usersk"),
        *("candidateid", "candidate", "applicantid", "guestid", "patronid", "consumerid"),
        *("kunde", "kundennummer", "kundennr", "kundenid", "cliente", "usuario", "utilisateur"),
        *("userhash", "username", "login", "profilename", "reviewprofilename", "tastername"),
        *("authorid", "author", "deviceid", "cookieid", "cookie"),
        *("anonymousid", "browserid", "sessionid", "session", "usersession", "sessid", "visitid"),
        *("playlistid", "pid", "orderid", "invoiceno", "invoiceid", "invoice", "basketid"),
        *("basket", "cartid", "transactionid", "receiptid"),
    ),
    "item_id": (
        *("itemid", "item", "iid", "itemidx", "movieid", "productid", "parentasin", "asin"),
        *("sku", "skuid", "stockcode", "bookid", "isbn", "articleid", "contentid", "trackid"),
        *("trackuri", "songuri", "episodeuri", "albumuri", "artisturi"),
        *("songid", "artistid", "albumid", "videoid", "gameid", "appid", "businessid", "venueid"),
        *("placeid", "gmapid", "poiid", "locationid", "hotelid", "recipeid", "newsid", "postid"),
        *("animeid", "showid", "seriesid", "listingid", "propertyid", "courseid", "jobid"),
        *("beerid", "wineid", "materialid", "goodsid", "offerid", "repoid", "paperid", "docid"),
        *("documentid", "restaurantid", "eventid", "photoid", "imageid", "podcastid", "episodeid"),
        *("beerbeerid", "vacancyid", "productsku", "artikel", "artikelnummer", "produkt"),
        *("produit", "producto", "articulo", "prodotto", "aid", "vacancy"),
        *("adid", "clickarticleid", "merchandiseid", "traid", "artid", "movie", "product"),
        *("book", "article", "content", "track", "song", "artist", "album", "video", "game"),
        *("app", "business", "venue", "place", "poi", "location", "hotel", "recipe", "anime"),
        *("course", "job", "beer", "wine", "goods", "offer", "repo", "document", "page", "url"),
        *("itemname", "productname", "movietitle", "booktitle", "title", "trackname", "songname"),
        *("artistname",),
    ),
    "timestamp": (
        *("timestamp", "time", "date", "datetime", "ts", "unixtime", "unixreviewtime"),
        *("createdat", "eventtime", "invoicedate", "timestampms", "timems", "eventtimestamp"),
        *("ratingtimestamp", "ratedat", "eventdate", "orderdate", "transactiondate"),
        *("transactiondt", "tdat", "purchasedate", "reviewdate", "reviewtime", "visitdate"),
        *("checkintime", "utctime", "utctimestamp", "localtime", "watchedat", "playedat"),
        *("listenedat", "viewedat", "clicktime", "clicktimestamp", "submittedat", "created"),
        *("dateadded", "dateupdated", "updatedat", "occurredat", "servertime", "visitstarttime"),
        *("datum", "bestelldatum", "kaufdatum", "zeit", "zeitpunkt", "fecha", "fechacompra"),
    ),
    "event": (
        *("event", "eventtype", "action", "actiontype", "behavior", "behaviour", "behaviortype"),
        *("behaviourtype", "eventname", "interactiontype", "interaction", "feedbacktype"),
        *("eventaction", "activity", "activitytype", "verb", "type"),
    ),
    "value": (
        *("value", "rating", "ratings", "stars", "score", "overall", "preference", "bookrating"),
        *("userrating", "reviewrating", "reviewscore", "myrating", "starrating", "grade"),
        *("playcount", "plays", "listencount", "count", "quantity", "qty", "weight", "strength"),
        *(
            "points",
            "menge",
            "anzahl",
            "bewertung",
            "cantidad",
            "quantite",
            "hours",
            "hoursplayed",
            "playtime",
            "playtimeforever",
            "watchratio",
            "amount",
        ),
    ),
}
"""Our names to those that others use, as `plain_name` spells them, the likelier ones first."""
KEYWORDS = {
    "user": "user_id",
    "item": "item_id",
    "time": "timestamp",
    "event": "event",
    "value": "value",
}
"""Keywords of a call that name a column of the log, and our name of it."""
_SETTINGS = {
    "value": "log.columns.value",
    "timestamp": "log.columns.timestamp",
    "event": "log.columns.event and log.events",
}
"""Of our optional columns, the settings that take one."""
_TYPE = re.compile(":(token|float)(_seq)?$")


def plain_name(name: str) -> str:
    """Return the name of a column in small letters and digits alone, to be compared.

    Examples
    --------
    >>> plain_name("User-ID"), plain_name("item_id:token")  # RecBole writes the type with the name
    ('userid', 'itemid')
    """
    return re.sub(r"[\W_]+", "", _TYPE.sub("", name.strip()).lower())


def resolve_columns(
    available: Sequence[str], settings: LogSettings, where: str, hint: str = ""
) -> Mapping[str, str]:
    """Return our name to the log's name for the columns that are read, in the order of a row.

    `hint` is what else may be done where one is missing.
    """
    resolved = {}
    for name, needed_for in _needs(settings).items():
        column = settings.columns.get(name, name)
        if not column and needed_for is None:
            continue
        if available.count(column) > 1:
            raise DataError(
                f"log {where}: column {briefly(column)} occurs {available.count(column)} times; "
                "give each column its own name"
            )
        if column in available:
            resolved[name] = column
        elif needed_for is not None or name in settings.columns:
            others = set(known_columns(settings).values()) - {column}
            left = [one for one in available if one not in others]
            reason = f"{needed_for} needs" if needed_for else "log.columns names"
            item = settings.columns.get("item_id", "item_id")
            also = ""
            if name == "user_id" and item not in available:
                also = f", and log.columns.item_id for {briefly(item)}, which is missing as well"
            shown = ", ".join(map(repr, available[:30])) or "none"
            raise DataError(
                f"log {where}: expected a column {briefly(column)}, which {reason}, got columns "
                f"{shown}{_hint_at(name, column, left)}; map the right one with log.columns.{name}"
                f"{also}{hint}"
            )
    return resolved


def _hint_at(ours: str, column: str, available: Sequence[str]) -> str:
    """Return the end of a sentence that names the column that others call so, or one like it."""
    spelled_alike = [one for one in available if one.casefold() == column.casefold()]
    if column == ours and not spelled_alike:
        names = NAMES[ours]
        known = sorted(
            (one for one in available if plain_name(one) in names),
            key=lambda one: names.index(plain_name(one)),
        )
        if known:
            looks = f"; {known[0]!r} looks like it (recsys.logs.guess_log guesses all columns)"
            return did_you_mean(column, known[:1]) or looks
    return did_you_mean(column, available)


def known_columns(settings: LogSettings) -> dict[str, str]:
    """Return our name to the log's name for the columns that are read where they are there."""
    known = {name: settings.columns.get(name, name) for name in _needs(settings)}
    return {name: column for name, column in known.items() if column}


def unused_columns(
    available: Sequence[str], resolved: Mapping[str, str], partition: Collection[str] = ()
) -> list[str]:
    """Say which columns look like one of ours and are not read, and which names of folders.

    Examples
    --------
    >>> unused_columns(["user_id", "item_id", "rating"], {"user_id": "user_id"})
    ["column 'rating' is not used; if it matters: log.columns.value"]
    """
    others = [name for name in partition if name not in resolved.values()]
    as_time = "" if "timestamp" in resolved else "; where it is the time: --time {} (log.columns)"
    sentences = [
        f"folders state {name!r}, which log.columns does not name{as_time.format(name)}"
        for name in others
    ]
    sentences += [
        f"folders state {name!r}, but the column of that name in the file is read"
        for name in partition
        if name in available and name in resolved.values()
    ]
    found = {
        column: "log.events" if column == ours == "event" else setting
        for ours, setting in _SETTINGS.items()
        if ours not in resolved
        for column in available
        if plain_name(column) in NAMES[ours] and column not in resolved.values()
    }
    if found:
        verb = "columns {} are" if len(found) > 1 else "column {} is"
        settings = ", ".join(dict.fromkeys(found.values()))
        named = verb.format(", ".join(map(repr, found)))
        sentences.insert(0, f"{named} not used; if it matters: {settings}")
    return sentences


def _needs(settings: LogSettings) -> dict[str, str | None]:
    """Our names that are read, each with the setting that makes it required, if one does."""
    needs: dict[str, str | None] = {"user_id": "every log", "item_id": "every log"}
    if settings.events or "event" in settings.columns:
        needs["event"] = "log.events" if settings.events else None
    limits = [
        one for one in ("min_value", "max_disliked_value") if getattr(settings, one) is not None
    ]
    if limits:
        needs["value"] = f"log.{limits[0]}"
    elif settings.scale != "none" or "value" in settings.columns:
        needs["value"] = None
    needs_time = (
        f"log.{name}"
        for name in ("since", "until", "half_life_days", "session_gap_minutes")
        if getattr(settings, name) is not None
    )
    needs["timestamp"] = next(needs_time, None)
    return needs
