// The only basemap: Natural Earth, drawn in the browser from files of this site. No tile server, no other origin.
import { setEPSGLookup } from 'ol/proj/proj4.js';
import createBasemap from './basemap/index.js';

// OpenLayers would ask a web service what a projection code means. UTM zones, which most scenes use, follow a rule;
// for any other code the map falls back to the item's longitudes and latitudes.
setEPSGLookup(async (code) => {
  const [, hemisphere, zone] = /^32([67])(\d\d)$/.exec(String(code)) || [];
  if (!zone || zone < 1 || zone > 60) {
    throw new Error(`EPSG:${code} is not known offline`);
  }
  return `+proj=utm +zone=${Number(zone)}${hemisphere === '7' ? ' +south' : ''} +datum=WGS84 +units=m +no_defs`;
});

export default function configureBasemap() {
  return [
    {
      title: 'Natural Earth',
      projection: 'EPSG:3857',
      layerCreated: createBasemap
    }
  ];
}
