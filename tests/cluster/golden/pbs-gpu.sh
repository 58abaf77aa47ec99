#!/bin/bash
#PBS -N bolus
#PBS -j oe
#PBS -o /data/maps/.bolus/logs/
#PBS -l select=1:ncpus=4:mem=32768mb:ngpus=1
#PBS -r y

over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
apptainer exec --nv /images/bolus.sif python3 -m bolus_cluster run /data/bids /data/maps participant --set dsc.deconvolution=csvd,osvd --workers 1 --shard "${PBS_ARRAY_INDEX:-1}/1" &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
exit "$code"
