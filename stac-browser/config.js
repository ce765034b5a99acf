/*
 * Runtime settings of STAC Browser for Almagest. The page loads this file before the application, from the same
 * origin and without rendering: edit it in place, no rebuild is needed. Keys not named here keep upstream's defaults.
 *
 * One promise is kept here: the browser asks nothing of any other origin. What an item offers elsewhere is shown as a
 * link to click, never loaded by itself.
 */
(function () {
  'use strict';

  // The catalogue to show: a path on this origin, with both slashes. '/external/' is what everybody may see; '/api/' is
  // the whole catalogue, and answers without a key only inside the internal networks.
  var API_PATH = '/external/';

  var ORIGIN = window.location.origin;
  var MAP_RELS = ['xyz', 'tilejson', 'pmtiles', 'wmts', 'wms'];
  var IMAGE_RELS = ['preview', 'icon'];

  function absolute(ref) {
    return typeof ref.getAbsoluteUrl === 'function' ? ref.getAbsoluteUrl() : ref.href;
  }

  function isOurs(href) {
    return typeof href === 'string' && (href.indexOf(ORIGIN + '/') === 0 || /^\/(?!\/)/.test(href));
  }

  function no() {
    return false;
  }

  // Images that lie elsewhere are not loaded as thumbnails; map layers that lie elsewhere become plain links.
  function keepToOrigin(stac) {
    Object.values(stac.assets || {}).forEach(function (asset) {
      if (typeof asset.href === 'string' && !isOurs(absolute(asset))) {
        asset.isPreview = no;
        asset.canBrowserDisplayImage = no;
      }
    });
    (stac.links || []).forEach(function (link) {
      if (MAP_RELS.concat(IMAGE_RELS).indexOf(link.rel) >= 0 && !isOurs(absolute(link))) {
        link.rel = 'related';
      }
    });
    return stac;
  }

  // "Show on map" for one GeoTIFF asset: the tiles our server draws of it. Either the item has an xyz link for exactly
  // this asset, or its first xyz link is asked for `assets=<key>`. Without an xyz link there is nothing to show.
  function tilesOfAsset(asset) {
    var item = asset.getContext();
    if (!item || typeof item.getLinksWithRels !== 'function') {
      return null;
    }
    var key = encodeURIComponent(asset.getKey());
    var hrefs = item.getLinksWithRels(['xyz']).map(absoluteTemplate).filter(isOurs);
    var exact = hrefs.filter(function (href) {
      var assets = href.split(/[?&]/).slice(1).filter(function (p) { return p.indexOf('assets=') === 0; });
      return assets.length === 1 && (assets[0] === 'assets=' + key || assets[0] === 'assets=' + asset.getKey());
    });
    if (exact.length > 0) {
      return exact[0];
    }
    return hrefs.length > 0 ? hrefs[0].split('?')[0] + '?assets=' + key : null;
  }

  // Resolving a template as a URL would escape its braces, so a path on this origin is completed by hand.
  function absoluteTemplate(link) {
    return /^\/(?!\/)/.test(link.href) ? ORIGIN + link.href : link.href;
  }

  function canShowOnMap(asset) {
    return asset.isGeoTIFF() ? tilesOfAsset(asset) !== null : isOurs(absolute(asset));
  }

  // A tile is asked for only where the item (or collection) is; the map would otherwise fetch the whole view.
  function insideOnly(type, options, ref) {
    var owner = ref && ref.getContext();
    var bbox = owner && owner.getBoundingBox();
    if (String(type) !== 'XYZ' || !options.url || !bbox) {
      return options;
    }
    var half = bbox.length / 2;
    var west = bbox[0], south = bbox[1], east = bbox[half], north = bbox[half + 1];
    var template = options.url;
    var limited = Object.assign({}, options);
    delete limited.url; // OpenLayers would prefer it to the function
    limited.tileUrlFunction = function (tile) {
      var n = Math.pow(2, tile[0]);
      var left = tile[1] / n * 360 - 180;
      var right = (tile[1] + 1) / n * 360 - 180;
      var across = west <= east ? left < east && right > west : left < east || right > west;
      if (!across || latitude(tile[2] / n) < south || latitude((tile[2] + 1) / n) > north) {
        return undefined;
      }
      return template.replace('{z}', tile[0]).replace('{x}', tile[1]).replace('{y}', tile[2]);
    };
    return limited;
  }

  // Latitude of a row edge of the web Mercator pyramid, 0 at the top and 1 at the bottom.
  function latitude(y) {
    return Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180 / Math.PI;
  }

  window.STAC_BROWSER_CONFIG = {
    catalogUrl: ORIGIN + API_PATH,
    catalogTitle: 'Almagest',
    catalogImage: ORIGIN + '/almagest.svg',
    footerLinks: [{ label: 'STAC API', url: API_PATH }, { label: 'API reference', url: API_PATH + 'docs' }],

    allowExternalAccess: false,
    preprocessSTAC: keepToOrigin,
    socialSharing: [],

    // Collections come from /collections alone; the landing page's child links would only repeat them.
    apiCatalogPriority: 'collections',
    collectionsPerPage: 48,
    itemsPerPage: 12,
    searchResultsPerPage: 12,

    // Maps: an xyz link of the item first, else a preview image, else the footprint; no GeoTIFF is opened in the browser.
    displayOverview: false,
    displayGeoTiffByDefault: false,
    displayPreview: true,
    useTileLayerAsFallback: false,
    buildTileUrlTemplate: tilesOfAsset,
    getMapSourceOptions: insideOnly,
    canShowOnMap: canShowOnMap // ours, asked for by a patch in prepare.mjs
  };
})();
