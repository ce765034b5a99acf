"""The variables that GDAL, rio-tiler and titiler read, rendered from our settings in this one place.

What cannot be said here is said by :mod:`almagest.services.tiles.reader`. ``GDAL_SKIP=VRT`` for one does not keep VRT
away: GDAL registers the driver again with the first reprojection, and until then rasterio, which needs it to compute
where a reprojected picture lies, fails. So datasets are opened with a list of drivers instead.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from almagest.core import secrets
from almagest.core.settings import Settings

#: Drivers that open what a file names rather than the file, run code, or speak to the network. A second line: none of
#: them is among :data:`almagest.services.tiles.reader.DRIVERS`.
SKIPPED_DRIVERS = (
    *("HTTP", "WMS", "WMTS", "WCS", "EEDA", "EEDAI", "DAAS", "PLMOSAIC", "STACIT", "STACTA"),
    *("GTI", "MRF", "TIL", "ECRGTOC", "RPFTOC", "SAFE", "SENTINEL2", "DIMAP", "ERS", "KMLSUPEROVERLAY"),
    *("PDS", "PDS4", "ISIS2", "ISIS3", "VICAR"),
    *("DERIVED", "HDF5", "HDF5Image", "BAG", "netCDF", "Zarr", "GPKG", "SQLite", "Rasterlite", "MBTiles", "PDF"),
)

#: Suffixes that GDAL may read over the network.
REMOTE_SUFFIXES = (".tif", ".tiff", ".jp2")

#: RFC 2606: a name that nobody will ever answer to.
_NOWHERE = "http://nowhere.invalid:9"

#: Variables that would change what is read or lend somebody's credentials to it.
_FOREIGN_PREFIXES = (
    *("AWS_", "AZURE_", "CPL_", "GDAL_", "GOA2_", "GS_", "HDF5_", "MOSAIC_", "NUMEXPR_", "OGR_", "OSR_", "OSS_"),
    *("POSTGRES_", "PROJ_", "RIO_TILER_", "SWIFT_", "TITILER_", "VRT_", "VSI_", "WEBHDFS_"),
)
_KEPT = frozenset({"GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_DATA", "PROJ_LIB"})
_PROXIES = frozenset({"ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})


def gdal_options() -> dict[str, str]:
    """Options that hold for every dataset that is opened, whatever the process was started with."""
    return {
        # No sidecar files: they hold references, and looking for them costs a round trip each.
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_PAM_ENABLED": "NO",
        "GDAL_VRT_ENABLE_PYTHON": "NO",
        "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
        "GDAL_NUM_THREADS": "1",
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ",".join(REMOTE_SUFFIXES),
        "GDAL_HTTP_NETRC": "NO",
        "GDAL_HTTP_CONNECTTIMEOUT": "5",
        "GDAL_HTTP_TIMEOUT": "20",
        "GDAL_HTTP_MAX_RETRY": "1",
        "GDAL_HTTP_RETRY_DELAY": "0.3",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
        "GDAL_HTTP_MULTIPLEX": "YES",
    }


def variables(settings: Settings) -> dict[str, str]:
    """Every variable of a tile process."""
    bucket = _bucket(settings)
    reached = [*settings.store.asset_hosts, *([bucket["AWS_S3_ENDPOINT"]] if bucket else [])]
    hosts = sorted({urlsplit(f"//{host}").hostname or "" for host in reached})
    threads = str(settings.tiles.threads)
    return {
        **gdal_options(),
        "GDAL_SKIP": ",".join(SKIPPED_DRIVERS),
        "GDAL_CACHEMAX": f"{settings.tiles.cache_mb}MB",
        "VSI_CACHE": "TRUE",
        "VSI_CACHE_SIZE": str(1 << 20),
        "CPL_VSIL_CURL_CACHE_SIZE": str(32 << 20),
        **(bucket or {"AWS_NO_SIGN_REQUEST": "YES"}),
        "AWS_EC2_METADATA_DISABLED": "TRUE",
        "PROJ_NETWORK": "OFF",
        # GDAL follows redirects and has no switch for that. But libcurl reaches the hosts of the allow-list only:
        # whatever else a server, a file or a query sends it to goes to a proxy that does not exist.
        "all_proxy": _NOWHERE,
        "http_proxy": _NOWHERE,
        "https_proxy": _NOWHERE,
        "no_proxy": ",".join(hosts),
        "RIO_TILER_MAX_THREADS": threads,
        "MOSAIC_CONCURRENCY": threads,
        "NUMEXPR_MAX_THREADS": threads,
        "TITILER_PGSTAC_CACHE_DISABLE": "TRUE",
    }


def _bucket(settings: Settings) -> dict[str, str]:
    """How GDAL reads our own bucket; nothing where there is none."""
    if not settings.s3.bucket:
        return {}
    access, secret = secrets.bucket_keys(settings.secrets)
    endpoint = urlsplit(settings.s3.address)
    return {
        "AWS_S3_ENDPOINT": endpoint.netloc,
        "AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_REGION": settings.s3.region,
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
    }


def apply(settings: Settings) -> None:
    """Makes them the variables of this process, in place of what it inherited. Call it before GDAL is imported."""
    for name in list(os.environ):
        if (name.startswith(_FOREIGN_PREFIXES) and name not in _KEPT) or name.upper() in _PROXIES:
            del os.environ[name]
    os.environ.update(variables(settings))
