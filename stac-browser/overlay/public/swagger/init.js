/*
 * Starts Swagger UI in the element `docs`, for the OpenAPI description that this script's own element names in
 * `data-openapi`. The page's policy allows no inline script, so this stands in a file.
 */
(function () {
  'use strict';

  window.SwaggerUIBundle({
    url: document.currentScript.dataset.openapi,
    domNode: document.getElementById('docs'),
    // Upstream's default shows every description to a server of its own makers.
    validatorUrl: null,
    // An operation has an address of its own.
    deepLinking: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true
  });
})();
