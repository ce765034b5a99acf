// Follows a job: asks how it is while somebody looks, and shows the whole page anew when it has ended.
(function () {
  'use strict';

  var live = document.getElementById('live');
  var log = document.getElementById('log');
  var after = Number(live.dataset.after);
  var pause = 500;

  function show(state) {
    document.getElementById('progress').value = state.progress;
    document.getElementById('message').textContent = state.message;
    var badge = document.querySelector('#status .badge');
    if (badge.textContent !== state.status) {
      badge.textContent = state.status;
      badge.className = 'badge ' + state.status;
    }
    state.events.forEach(function (event) {
      var line = document.createElement('li');
      var time = document.createElement('time');
      time.textContent = event.at.slice(0, 19).replace('T', ' ') + ' UTC';
      line.append(time, ' ' + event.message);
      log.append(line);
      after = event.id;
    });
  }

  function look() {
    if (document.hidden) {
      window.setTimeout(look, 1000);
      return;
    }
    window.fetch(live.dataset.state + '?after=' + after, { redirect: 'error' })
      .then(function (answer) {
        if (!answer.ok) { throw new Error(String(answer.status)); }
        return answer.json();
      })
      .then(function (state) {
        show(state);
        if (state.has_ended) {
          window.location.reload();
          return;
        }
        pause = Math.min(pause * 1.2, 3000);
        window.setTimeout(look, pause);
      })
      .catch(function () {
        pause = Math.min(pause * 2, 15000);
        window.setTimeout(look, pause);
      });
  }

  window.setTimeout(look, pause);
})();
