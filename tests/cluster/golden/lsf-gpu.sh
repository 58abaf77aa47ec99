#!/bin/bash
#BSUB -J "bolus[1-1]"
#BSUB -o /data/maps/.bolus/logs/bolus-%J_%I.log
#BSUB -n 4
#BSUB -R "span[hosts=1]"
#BSUB -R "rusage[mem=32768MB]"
#BSUB -M 32768MB
#BSUB -gpu "num=1"
#BSUB -r
#BSUB -Q "99"

over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
apptainer exec --nv /images/bolus.sif python3 -m bolus_cluster run /data/bids /data/maps participant --set dsc.deconvolution=csvd,osvd --workers 1 --shard "$LSB_JOBINDEX/1" &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
# USR1 says that the time is nearly over, 143 that bolus stopped for it: the rest is done in another turn.
turns=/data/maps/.bolus/logs/".turns-$LSB_JOBID.$LSB_JOBINDEX"
if [ -n "$over" ] && [ "$code" -eq 143 ] && [ "$(cat "$turns" 2>/dev/null | wc -l)" -lt 20 ]; then
    echo "$(date)" >>"$turns"
    exit 99
fi
rm -f "$turns"
exit "$code"
