#!/bin/bash
#PBS -N bolus
#PBS -j oe
#PBS -o /data/maps/.bolus/logs/
#PBS -q short
#PBS -A neuro
#PBS -l select=1:ncpus=1:mem=4096mb
#PBS -l walltime=36:00:00
#PBS -r y

module load python/3.12 || exit 3
export NUMBA_CACHE_DIR=$HOME/.cache/numba

over=
trap 'over=yes; kill -TERM $! 2>/dev/null' USR1
trap 'kill -TERM $! 2>/dev/null' TERM
/opt/bolus/bin/python -m bolus_cluster run /data/bids /data/maps participant --set dsc.deconvolution=csvd,osvd --workers 64 --cluster pbs &
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
wait $! 2>/dev/null; last=$?
[ "$last" -eq 127 ] || code=$last
exit "$code"
