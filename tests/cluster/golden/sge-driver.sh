#!/bin/bash
#$ -N bolus
#$ -S /bin/bash
#$ -j y
#$ -o /data/maps/.bolus/logs/bolus-$JOB_ID.log
#$ -q short
#$ -P neuro
#$ -l mem_free=4096M
#$ -l h_rt=36:00:00,s_rt=35:58:00
#$ -r y

module load python/3.12 || exit 3
export NUMBA_CACHE_DIR=$HOME/.cache/numba

over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
/opt/bolus/bin/python -m bolus_cluster run /data/bids /data/maps participant --set dsc.deconvolution=csvd,osvd --workers 64 --cluster sge &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
# USR1 says that the time is nearly over, 143 that bolus stopped for it: the rest is done in another turn.
turns=/data/maps/.bolus/logs/".turns-$JOB_ID"
if [ -n "$over" ] && [ "$code" -eq 143 ] && [ "$(cat "$turns" 2>/dev/null | wc -l)" -lt 20 ]; then
    echo "$(date)" >>"$turns"
    exit 99
fi
rm -f "$turns"
exit "$code"
