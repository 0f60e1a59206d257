#!/bin/sh
# If it runs as root, it gives the data to the user devicesvc, and goes on as that user, without any capability.
# If it runs as another user (--user), or root may not do this (--cap-drop=ALL), it goes on as the user that it is.
set -e
data=/var/lib/exp_pyms_api_data
if [ "$(id -u)" = 0 ] && setpriv --reuid=devicesvc --regid=devicesvc --clear-groups true 2>/dev/null; then
  # Even root may fail here, such as on a network file system. Then the service says what it cannot write.
  find $data ! -user devicesvc -exec chown --no-dereference devicesvc:devicesvc {} + || true
  exec setpriv --reuid=devicesvc --regid=devicesvc --clear-groups --inh-caps=-all "$@"
fi
exec "$@"
