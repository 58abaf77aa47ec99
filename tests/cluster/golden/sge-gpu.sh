#!/bin/bash
#$ -N bolus
#$ -S /bin/bash
#$ -j y
#$ -o /data/maps/.bolus/logs/bolus-$JOB_ID.$TASK_ID.log
#$ -pe smp 4
#$ -l mem_free=8192M
#$ -l gpu=1
#$ -t 1-1
#$ -r y

over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
apptainer exec --nv /images/bolus.sif python3 -m bolus_cluster run /data/bids /data/maps participant --set dsc.deconvolution=csvd,osvd --workers 1 --shard "$SGE_TASK_ID/1" &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
# USR1 says that the time is nearly over, 143 that bolus stopped for it: the rest is done in another turn.
turns=/data/maps/.bolus/logs/".turns-$JOB_ID.$SGE_TASK_ID"
if [ -n "$over" ] && [ "$code" -eq 143 ] && [ "$(cat "$turns" 2>/dev/null | wc -l)" -lt 20 ]; then
    echo "$(date)" >>"$turns"
    exit 99
fi
rm -f "$turns"
exit "$code"
