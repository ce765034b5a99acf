import Feature from 'ol/Feature.js';
import TopoJSON from 'ol/format/TopoJSON.js';
import MultiLineString from 'ol/geom/MultiLineString.js';
import Point from 'ol/geom/Point.js';
import LayerGroup from 'ol/layer/Group.js';
import VectorLayer from 'ol/layer/Vector.js';
import { fromLonLat } from 'ol/proj.js';
import VectorSource from 'ol/source/Vector.js';
import Fill from 'ol/style/Fill.js';
import Stroke from 'ol/style/Stroke.js';
import Style from 'ol/style/Style.js';
import Text from 'ol/style/Text.js';

const WATER = '#dce7ee';
const ATTRIBUTION = 'Basemap: <a href="https://www.naturalearthdata.com/" target="_blank" rel="noopener">Natural Earth</a>';
const EDGE = fromLonLat([179.99, 0])[0];
const DETAIL_FROM_ZOOM = 5.5;

const styles = {
  land: new Style({ fill: new Fill({ color: '#f5f3ee' }) }),
  coast: new Style({ stroke: new Stroke({ color: '#aebfca', width: 1 }) }),
  borders: new Style({ stroke: new Stroke({ color: '#cdc8bd', width: 1 }) })
};

// Both scales are files of their own, fetched when a map first needs them and then shared by all maps of the page.
const coarse = once(async () => read(await import(/* webpackChunkName: "basemap-coarse" */ './coarse.json')));
const detailed = once(async () => read(await import(/* webpackChunkName: "basemap-detailed" */ './detailed.json')));

function once(load) {
  let result;
  return () => result || (result = load());
}

function read({ default: topology }) {
  const features = new TopoJSON().readFeatures(topology, { featureProjection: 'EPSG:3857' });
  for (const feature of features) {
    if (feature.get('kind') === 'coast') {
      feature.setGeometry(withoutSeam(feature.getGeometry()));
    }
  }
  const names = topology.names.map(([name, lon, lat, minZoom]) => {
    const feature = new Feature(new Point(fromLonLat([lon, lat])));
    feature.setProperties({ kind: 'name', name, minZoom });
    return feature;
  });
  return { shapes: features, names };
}

// The data is cut along the antimeridian and closed along the pole; those cuts are no coast.
function withoutSeam(geometry) {
  const lines = [];
  let line = [];
  const end = () => {
    if (line.length > 1) {
      lines.push(line);
    }
    line = [];
  };
  const onSeam = (a, b) => (Math.abs(a[0]) > EDGE && Math.abs(b[0]) > EDGE) || (a[1] < -EDGE && b[1] < -EDGE);
  for (const point of geometry.getCoordinates()) {
    if (line.length > 0 && onSeam(line[line.length - 1], point)) {
      end();
    }
    line.push(point);
  }
  end();
  return new MultiLineString(lines);
}

function shapesLayer(load, options) {
  const source = new VectorSource({
    attributions: ATTRIBUTION,
    attributionsCollapsible: false,
    loader: async () => {
      try {
        source.addFeatures((await load()).shapes);
      } catch (error) {
        console.error('The basemap could not be loaded', error);
      }
    }
  });
  return new VectorLayer({ source, style: (feature) => styles[feature.get('kind')], ...options });
}

function namesLayer(map) {
  const source = new VectorSource({
    loader: () => coarse().then(({ names }) => source.addFeatures(names), () => {})
  });
  const text = new Text({
    font: '12px sans-serif',
    fill: new Fill({ color: '#8b8578' }),
    stroke: new Stroke({ color: '#f5f3ee', width: 3 })
  });
  const style = new Style({ text });
  return new VectorLayer({
    source,
    declutter: true,
    maxZoom: 9,
    style: (feature) => {
      if (map.getView().getZoom() < feature.get('minZoom')) {
        return null;
      }
      text.setText(feature.get('name'));
      return style;
    }
  });
}

export default function createBasemap(_layer, _source, map) {
  return new LayerGroup({
    properties: { title: 'Natural Earth', base: true },
    layers: [
      shapesLayer(coarse, { background: WATER, maxZoom: DETAIL_FROM_ZOOM }),
      shapesLayer(detailed, { background: WATER, minZoom: DETAIL_FROM_ZOOM }),
      namesLayer(map)
    ]
  });
}
