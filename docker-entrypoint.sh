#!/bin/sh
# As root, gives the data to the user devicesvc, who needs no more than that, and goes on as that user.
# With --user, or where root may not do this (--cap-drop=ALL), it goes on as whoever it is.
set -e
data=/var/lib/exp_pyms_api_data
if [ "$(id -u)" = 0 ] && setpriv --reuid=devicesvc --regid=devicesvc --clear-groups true 2>/dev/null; then
  # Where not even root may, such as on a folder of another host, the service says what it cannot write.
  find $data ! -user devicesvc -exec chown --no-dereference devicesvc:devicesvc {} + || true
  exec setpriv --reuid=devicesvc --regid=devicesvc --clear-groups --inh-caps=-all "$@"
fi
exec "$@"
